// A network in TorchScript computes what PyTorch computes with it, in each convention and for each pretrained pass.
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';

import { describe, expect, it } from 'vitest';

import { saveTensors } from '../../lib/files/safetensors.js';
import { loadModel, type ModelSource } from '../../lib/models/registry.js';
import type { Model } from '../../lib/models/model.js';
import { Tensor } from '../../lib/runtime/native/tensor.js';
import { fixture, goldenPrompts, goldens, numbersOf, scripted, velocityModel } from '../helpers/torchscript-model.js';
import { temporaryFolder } from '../helpers/tiny-run.js';

/** The velocity of the goldens' inputs. */
async function goldenVelocity(model: Model, pretrained = false): Promise<number[]> {
  const { x, t } = await goldens();
  const conditioning = await model.encode(goldenPrompts);
  const times = (await t!.data()) as Float32Array;
  return numbersOf(await model.native.velocity(x!, times, conditioning, pretrained));
}

const close = (numbers: readonly number[], digits = 5) => numbers.map((number) => expect.closeTo(number, digits));

describe('a model in TorchScript', () => {
  it.each([
    { from: 'a scripted module', torchscript: fixture('velocity.pt') },
    { from: 'a traced module', torchscript: fixture('traced.pt') },
  ])('computes with $from what PyTorch computes, with and without its LoRA', async ({ torchscript }) => {
    using model = await loadModel({ ...velocityModel, torchscript });
    const { velocity, pretrained } = await goldens();
    expect(await goldenVelocity(model)).toEqual(close(await numbersOf(velocity!)));
    expect(await goldenVelocity(model, true)).toEqual(close(await numbersOf(pretrained!)));
    // The pretrained pass leaves everything as it was.
    expect(await goldenVelocity(model)).toEqual(close(await numbersOf(velocity!)));
  });

  it('takes the gradients that PyTorch takes, of its own parameters by name and of x', async () => {
    using model = await loadModel(velocityModel);
    const { x, t, upstream, ...golden } = await goldens();
    const names = model.native.trainableNames;
    expect(names).toEqual(
      ['mix.0.0', 'mix.0.2', 'each.0.0', 'each.0.2'].flatMap((each) => [`${each}.lora_A`, `${each}.lora_B`]),
    );
    const conditioning = await model.encode(goldenPrompts);
    const times = (await t!.data()) as Float32Array;
    const found = await model.native.gradients(x!, times, conditioning, upstream!, names);
    expect(await numbersOf(found.x)).toEqual(close(await numbersOf(golden['grad.x']!), 4));
    for (const name of names)
      expect(await numbersOf(found.tensors[name]!), name).toEqual(close(await numbersOf(golden[`grad.${name}`]!), 3));
  });

  it('trains those parameters that require a gradient in the file, where nobody says which', async () => {
    using model = await loadModel({ torchscript: fixture('flagged.pt'), shape: [3, 2, 2] });
    expect(model.native.trainableNames).toEqual(['lora']);
    expect(Object.keys(model.native.weights())).toEqual(['weight', 'lora']);
  });

  it.each([
    { convention: 'rectified-flow', velocity: [0.25, 0.75] },
    { convention: 'sigma', velocity: [-0.75, -0.25] },
    { convention: 'sigma-1000', velocity: [-750, -250] },
  ] as const)('gives the time and takes the sign of the convention $convention', async ({ convention, velocity }) => {
    using model = await loadModel({
      ...scripted('torch.add(torch.mul(x, 0), torch.reshape(t, [-1, 1, 1, 1]))'),
      convention,
    });
    const x = Tensor.from(new Float32Array(24), [2, 3, 2, 2]);
    const found = await model.native.velocity(x, Float32Array.of(0.25, 0.75), await model.encode(['', '']), false);
    expect(await numbersOf(found)).toEqual(velocity.flatMap((number) => Array(12).fill(number)));
  });

  it('takes the pretrained velocity from a flag, of either value', async () => {
    const flagged = { torchscript: fixture('flagged.pt'), shape: [3, 2, 2] };
    const pass = async (source: ModelSource, pretrained: boolean) => {
      using model = await loadModel(source);
      const x = Tensor.from(
        Float32Array.from({ length: 12 }, (_, at) => at),
        [1, 3, 2, 2],
      );
      return numbersOf(await model.native.velocity(x, Float32Array.of(0.5), await model.encode(['']), pretrained));
    };
    const plain = { ...flagged, pretrained: { flag: 'plain', flagValue: true } };
    const [trained, pretrained] = [await pass(plain, false), await pass(plain, true)];
    expect(pretrained).not.toEqual(trained);
    // A zero in the place of its LoRA is the same.
    const zeroed = { ...flagged, pretrained: { zeroed: ['lora'] } };
    expect(await pass(zeroed, true)).toEqual(pretrained);
    expect(await pass(zeroed, false)).toEqual(trained);
  });

  it('takes the pretrained velocity from a second module, which what is trained leaves alone', async () => {
    using model = await loadModel({
      ...velocityModel,
      trainable: ['weight'],
      pretrained: { module: fixture('velocity.pt') },
    });
    const before = await goldenVelocity(model, true);
    expect(await goldenVelocity(model)).toEqual(before);
    const trainable = model.native.trainable();
    const zeros = Object.entries(trainable).map(([name, { shape }]) => [
      name,
      Tensor.from(new Float32Array(shape.reduce((product, size) => product * size, 1)), shape),
    ]);
    await model.native.load('trainable', Object.fromEntries(zeros));
    expect(await goldenVelocity(model)).not.toEqual(before);
    expect(await goldenVelocity(model, true)).toEqual(before);
  });

  it('takes weights of a file in the place of its own, and for the frozen copy of itself, too', async () => {
    const weights = join(temporaryFolder(), 'weights.safetensors');
    await saveTensors(weights, { 'head.bias': Tensor.from(new Float32Array(48).fill(7), [48]) });
    const source = { ...velocityModel, weights, pretrained: { module: velocityModel.torchscript } };
    using model = await loadModel(source);
    using plain = await loadModel({ ...source, weights: undefined });
    expect(await numbersOf(model.native.weights()['head.bias']!)).toEqual(Array(48).fill(7));
    expect(await goldenVelocity(model, true)).toEqual(await goldenVelocity(model));
    expect(await goldenVelocity(model)).not.toEqual(await goldenVelocity(plain));
  });

  it('has one parameter where two names are of one', async () => {
    using model = await loadModel({ torchscript: fixture('tied.pt'), shape: [1, 1, 1], trainable: ['a'] });
    expect(model.native.trainableNames).toEqual(['a']);
    const x = Tensor.from(Float32Array.of(3), [1, 1, 1, 1]);
    const conditioning = await model.encode(['']);
    const found = await model.native.gradients(x, Float32Array.of(0.5), conditioning, x, ['a']);
    expect(await numbersOf(found.velocity)).toEqual([12]);
    // d(x a + x b)/da of one tensor a = b, times the upstream 3.
    expect(await numbersOf(found.tensors['a']!)).toEqual([18]);
  });

  it('makes images of latents by a decoder, or takes them for images in [-1, 1]', async () => {
    const latents = Tensor.from(Float32Array.of(-1, 0, 1, 3), [1, 1, 2, 2]);
    using plain = await loadModel({ ...scripted('x'), shape: [1, 2, 2] });
    expect(await numbersOf(await plain.native.images(latents))).toEqual([0, 0.5, 1, 2]);
    using decoded = await loadModel({ ...scripted('x'), shape: [2, 4, 4], decoder: fixture('decoder.pt') });
    const images = await decoded.native.images(Tensor.from(new Float32Array(64), [2, 2, 4, 4]));
    expect(images.shape).toEqual([2, 3, 8, 8]);
    for (const number of await numbersOf(images)) expect(number > 0 && number < 1).toBe(true);
  });

  it('gives a module copies, so that what it does to them stays its own affair', async () => {
    const folder = temporaryFolder();
    const path = join(folder, 'c.safetensors');
    await saveTensors(path, { c: Tensor.from(Float32Array.of(2), [1]) });
    using model = await loadModel({
      ...scripted(
        'torch.add_(torch.mul_(x, 0), torch.reshape(torch.add_(c, 1), [-1, 1, 1, 1]))',
        'x: Tensor, t: Tensor, c: Tensor',
      ),
      conditioning: { p: path },
    });
    const x = Tensor.from(new Float32Array(12).fill(5), [1, 3, 2, 2]);
    const conditioning = await model.encode(['p']);
    for (let call = 0; call < 2; call++) {
      const velocity = await model.native.velocity(x, Float32Array.of(0.5), conditioning, false);
      expect(await numbersOf(velocity)).toEqual(Array(12).fill(3));
    }
    expect(await numbersOf(x)).toEqual(Array(12).fill(5));
  });

  it('is loaded from a directory, whose config.json has its paths', async () => {
    const directory = temporaryFolder();
    const { pretrained, ...settings } = velocityModel;
    writeFileSync(join(directory, 'config.json'), JSON.stringify({ type: 'torchscript', ...settings, pretrained }));
    using model = await loadModel(directory);
    expect(await goldenVelocity(model)).toEqual(close(await numbersOf((await goldens())['velocity']!)));
  });
});
