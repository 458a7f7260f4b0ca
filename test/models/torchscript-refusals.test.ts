// What cannot be a velocity network is refused before anything depends on it, in words that name the module.
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';

import { describe, expect, it } from 'vitest';

import { saveTensors } from '../../lib/files/safetensors.js';
import type { LoadModelOptions } from '../../lib/models/model.js';
import { loadModel } from '../../lib/models/registry.js';
import type { TorchScriptModel } from '../../lib/models/torchscript/settings.js';
import { Tensor } from '../../lib/runtime/native/tensor.js';
import { refusal } from '../helpers/refusal.js';
import { fixture, scripted, velocityModel } from '../helpers/torchscript-model.js';
import { temporaryFolder } from '../helpers/tiny-run.js';

const folder = temporaryFolder();
async function stored(name: string, length: number): Promise<string> {
  const path = join(folder, name);
  await saveTensors(path, length ? { c: Tensor.from(new Float32Array(length), [length]) } : {});
  return path;
}
const two = await stored('two.safetensors', 2);
const three = await stored('three.safetensors', 3);
const none = await stored('none.safetensors', 0);
const damaged = join(folder, 'damaged.pt');
writeFileSync(damaged, 'PK\x03\x04 and no more');

const withTensor = 'x: Tensor, t: Tensor, c: Tensor';
const given = 'given x Float [2, 3, 2, 2], t Float [2]';

describe('a module', () => {
  it.each<{ that: string; source: TorchScriptModel; message: string }>([
    {
      that: 'returns another shape',
      source: scripted('torch.sum(x)'),
      message: `module.pt: what forward returned, ${given}: expected x's shape, [2, 3, 2, 2], got []`,
    },
    {
      that: 'returns another dtype',
      source: scripted('torch.gt(x, 0)'),
      message: `what forward returned, ${given}: expected a floating-point type, got Bool`,
    },
    {
      that: 'returns no tensor',
      source: scripted('3', 'x: Tensor, t: Tensor', 'int'),
      message: 'forward(x: Tensor, t: Tensor) -> int: expected a returned Tensor, the velocity, got int',
    },
    {
      that: 'takes no time',
      source: scripted('x', 'x: Tensor'),
      message: 'forward(x: Tensor) -> Tensor: expected two first arguments of type Tensor, x and t, got 1 arguments',
    },
    {
      that: 'takes what nobody gives',
      source: scripted('x', 'x: Tensor, t: Tensor, label: Tensor'),
      message: 'label: expected a tensor of this name in the files of the conditioning, or a default, got neither',
    },
    {
      that: 'takes nothing of the conditioning',
      source: { ...scripted('x'), conditioning: { p: two } },
      message: 'expected a Tensor c, as the files of the conditioning hold one, got none',
    },
    {
      that: 'fails in an operator',
      source: { ...velocityModel, shape: [1, 16, 16] },
      message:
        'velocity.pt: forward failed, given x Float [2, 1, 16, 16], t Float [2], label Long [2]: Given groups=1, ' +
        'weight of size [8, 3, 4, 4], expected input[2, 1, 16, 16] to have 3 channels, but got 1 channels instead',
    },
    {
      that: 'raises an exception',
      source: scripted('x', 'x: Tensor, t: Tensor', 'Tensor', 'ops.prim.RaiseException("no such time")'),
      message: 'module.pt: forward failed, given x Float [2, 3, 2, 2], t Float [2]: no such time',
    },
    {
      that: 'draws random numbers',
      source: scripted('torch.add(x, torch.rand_like(x))'),
      message: 'forward gave a sample two velocities that are',
    },
    {
      that: 'mixes the samples of a batch',
      source: scripted('torch.add(x, torch.mean(x))'),
      message: 'leave out what is random, what is remembered from call to call, and what mixes the samples of a batch',
    },
    {
      that: 'is half precision and is to be trained',
      source: { torchscript: fixture('half.pt'), shape: [3, 2, 2] },
      message: 'half.pt: w: expected float32, to be trained, got Half',
    },
    {
      that: 'does not depend on what is to be trained',
      source: { torchscript: fixture('tied.pt'), shape: [1, 1, 1], trainable: ['c'] },
      message: 'tied.pt: what forward returns does not change with any of the parameters that are trained, c',
    },
    {
      that: 'changes what its gradient needs',
      source: { torchscript: fixture('in-place.pt'), shape: [3, 2, 2] },
      message:
        'in-place.pt: the gradient of forward failed: one of the variables needed for gradient computation has been',
    },
    {
      that: 'is not there',
      source: { ...velocityModel, torchscript: join(folder, 'gone.pt') },
      message: 'gone.pt: there is no such file',
    },
    {
      that: 'is damaged',
      source: { ...velocityModel, torchscript: damaged },
      message: 'damaged.pt: it cannot be loaded: PytorchStreamReader failed reading zip archive',
    },
    {
      that: 'is of torch.save',
      source: { ...velocityModel, torchscript: fixture('../torchscript/weights.pt') },
      message:
        'weights.pt: it is an archive of torch.save, which holds weights or Python objects; save the program with',
    },
    {
      that: 'is a safetensors file',
      source: { ...velocityModel, torchscript: two },
      message: 'got a safetensors file, which holds weights only',
    },
  ])('that $that is refused', async ({ source, message }) => {
    expect(await refusal(loadModel(source))).toContain(message);
  });
});

describe('the settings of a model in TorchScript', () => {
  it.each<{ that: string; change: object; message: string }>([
    {
      that: 'a flag that forward has not',
      change: { pretrained: { flag: 'plain' } },
      message: 'expected an argument plain: bool, which asks for the pretrained velocity, got none',
    },
    {
      that: 'zeros that no parameter is named by',
      change: { pretrained: { zeroed: ['lora_C'] } },
      message: `pretrained.zeroed: expected ends of parameters' names, got "lora_C"; the parameters are places,`,
    },
    {
      that: 'a part of a name as its end',
      change: { trainable: ['ora_A'] },
      message: `trainable: expected ends of parameters' names, got "ora_A"`,
    },
    {
      that: 'trained parameters that the pretrained velocity depends on',
      change: { trainable: ['lora_A', 'lora_B', 'head.bias'] },
      message:
        'pretrained: the pretrained velocity depends on head.bias, which is trained, so that training would change',
    },
    {
      that: 'no pretrained way',
      change: { pretrained: {} },
      message: 'expected one of module, flag and zeroed, got {}',
    },
    {
      that: 'two of them',
      change: { pretrained: { flag: 'a', module: 'b' } },
      message: 'model: pretrained: expected one of module, flag and zeroed, got {"flag":"a","module":"b"}',
    },
    {
      that: 'the value of no flag',
      change: { pretrained: { module: 'b', flagValue: true } },
      message: 'pretrained.flagValue: expected a flag that has this value, got true',
    },
    {
      that: 'a misspelt member',
      change: { pretraned: {} },
      message: 'model: pretraned: unknown key; did you mean "pretrained"?',
    },
    {
      that: 'another convention',
      change: { convention: 'epsilon' },
      message: 'convention: expected one of "rectified-flow", "sigma", "sigma-1000", got "epsilon"',
    },
    {
      that: 'latents that are no images, without a decoder',
      change: { shape: [4] },
      message: 'decoder: expected a module that makes images of the latents, whose shape is not [channels, height,',
    },
    {
      that: 'a decoder of two arguments',
      change: { decoder: velocityModel.torchscript },
      message:
        'expected a forward of one Tensor, the latents, got forward(x: Tensor, t: Tensor, label: Tensor) -> Tensor',
    },
    {
      that: 'weights that the module has not',
      change: { weights: two },
      message: 'velocity.pt:\n  c: unknown tensor of shape [2]',
    },
    {
      that: 'files of the conditioning that differ',
      change: { ...scripted('x', withTensor), conditioning: { p: two, q: three } },
      message:
        'three.safetensors: expected c float32 [2], as the first file of the conditioning holds, got c float32 [3]',
    },
    {
      that: 'files of the conditioning that hold nothing',
      change: { ...scripted('x', withTensor), conditioning: { p: none } },
      message: 'conditioning: expected a file a prompt that holds tensors, got none',
    },
    {
      that: 'a file of the conditioning that is not there',
      change: { ...scripted('x', withTensor), conditioning: { p: join(folder, 'gone') } },
      message: `cannot read ${join(folder, 'gone')}: ENOENT`,
    },
  ])('are refused with $that', async ({ change, message }) => {
    expect(await refusal(loadModel({ ...velocityModel, ...change }))).toContain(message);
  });

  it.each<{ options: LoadModelOptions; message: string }>([
    { options: { adapter: { rank: 1, alpha: 1 } }, message: 'adapter: a TorchScript module has none' },
    { options: { dtype: 'bfloat16' }, message: 'dtype: expected "float32"' },
    { options: { size: { width: 8, height: 8 } }, message: 'image: the shape of a TorchScript module says' },
    { options: { checkpointing: true }, message: 'checkpointing: a TorchScript module sees to it itself' },
    { options: { textLength: 8 }, message: 'textLength: a TorchScript module has no text encoder' },
  ])('leave no use for $options', async ({ options, message }) => {
    expect(await refusal(loadModel(velocityModel, options))).toContain(message);
  });
});

describe('the prompts of a model in TorchScript', () => {
  it('are those that it has files for', async () => {
    using model = await loadModel(velocityModel);
    const known = 'expected a prompt that conditioning names a file for, "a red circle", "a blue square", got "a dog"';
    expect(await refusal(model.encode(['a dog']))).toBe(`prompt: ${known}`);
    expect(await refusal(model.prepare(['a red circle'], { negativePrompt: 'a dog' }))).toBe(`prompt: ${known}`);
  });

  it('lead away from none where it has no file for none', async () => {
    using model = await loadModel({ ...scripted('x', withTensor), conditioning: { p: two } });
    expect(await refusal(model.unconditional(2))).toContain('conditioning: expected a file for "", no prompt');
    using plain = await loadModel(scripted('x'));
    expect(await refusal(plain.unconditional(2))).toContain(
      'has no conditioning, so there is nothing to lead away from',
    );
  });

  it('are read again after their file has changed to other tensors', async () => {
    const path = await stored('changed.safetensors', 2);
    using model = await loadModel({ ...scripted('x', withTensor), conditioning: { p: two, q: path, r: two } });
    await stored('changed.safetensors', 3);
    expect(await refusal(model.encode(['q']))).toContain('expected c float32 [2]');
    await stored('changed.safetensors', 2);
    expect((await model.encode(['q', 'p']))[0]!.shape).toEqual([2, 2]);
  });
});

describe('a model in TorchScript', () => {
  it('is of no use after dispose()', async () => {
    const model = await loadModel(velocityModel);
    model.dispose();
    expect(() => model.native).toThrow('was used after dispose()');
  });

  it('refuses latents, times and conditioning of other shapes', async () => {
    using model = await loadModel(velocityModel);
    const conditioning = await model.encode(['']);
    const x = (...shape: number[]) => Tensor.from(new Float32Array(shape.reduce((a, b) => a * b, 1)), shape);
    const half = Float32Array.of(0.5);
    expect(await refusal(model.native.velocity(x(1, 3, 8, 8), half, conditioning, false))).toContain(
      'x: expected at least one sample of shape [3, 16, 16], [B, …], got [1, 3, 8, 8]',
    );
    expect(
      await refusal(model.native.velocity(x(2, 3, 16, 16), Float32Array.of(0.5, 0.5), conditioning, false)),
    ).toContain('conditioning[0], label: expected 2 samples in its first dimension, got shape [1]');
    expect(await refusal(model.native.velocity(x(1, 3, 16, 16), half, [], false))).toContain(
      'conditioning: expected 1 tensors, got 0',
    );
  });
});
