// What a model of one's own is refused for, and what the message says to do.
import { describe, expect, it } from 'vitest';

import { DisposedError, ConfigError, EamError, ShapeError } from '../../lib/errors.js';
import {
  defineModel,
  type Model,
  type ModelDefinition,
  ops,
  sampleImages,
  strokeWeight,
  Tensor,
  Trainer,
} from '../../lib/index.js';
import { eam } from '../../lib/training/algorithms.js';
import { definition, latentShape, numbers } from '../helpers/defined-model.js';

type Velocity = ModelDefinition['velocity'];

const scalar = () => ({ a: Tensor.from([2], []) });
const model = (changes: Partial<ModelDefinition>): Model =>
  defineModel({
    name: 'mine',
    latentShape,
    trainable: scalar(),
    velocity: (x, _t, _c, { parameters }) => ops.mul(x, parameters['a']!),
    ...changes,
  });

const draw = (changes: Partial<ModelDefinition>) =>
  sampleImages(model(changes), { prompts: ['1', '2'], seed: 1n, steps: 1, solver: 'euler' });

const scaled: Velocity = (x, _t, _c, { parameters }) => ops.mul(x, parameters['a']!);
let kept: Tensor | undefined;

describe('a velocity is refused', () => {
  it.each<{ how: string; velocity: Velocity; error: new (...args: never[]) => Error; message: RegExp }>([
    {
      how: 'of another shape',
      velocity: (x, t, c, context) => ops.reshape(scaled(x, t, c, context), [x.shape[0]!, -1]),
      error: ShapeError,
      message:
        /^velocity of "mine": expected a velocity of x's shape, \[2, 1, 4, 4\], got float32 \[2, 16\]; ops.reshape/,
    },
    {
      how: 'that is not returned',
      velocity: ((x: Tensor, t: Tensor, c: Tensor[], context: never) => void scaled(x, t, c, context)) as never,
      error: ConfigError,
      message: /^velocity of "mine": expected a Tensor, got undefined; return the result$/,
    },
    {
      how: 'that is asynchronous',
      velocity: (async (...args: Parameters<Velocity>) => scaled(...args)) as never,
      error: ConfigError,
      message: /^velocity of "mine": expected a Tensor, got a promise: .* leave out async and await/,
    },
    {
      how: 'that is asynchronous and fails',
      velocity: (async () => {
        await Promise.resolve();
        throw new Error('nobody sees this');
      }) as never,
      error: ConfigError,
      message: /^velocity of "mine": expected a Tensor, got a promise/,
    },
    { how: 'that is null', velocity: (() => null) as never, error: ShapeError, message: /expected a Tensor, got null/ },
    {
      how: 'that is a number',
      velocity: (() => 3) as never,
      error: ShapeError,
      message: /expected a Tensor, got number/,
    },
    {
      how: 'that is a tensor with numbers',
      velocity: (x) => Tensor.from(new Float32Array(32), x.shape),
      error: ConfigError,
      message: /expected a Tensor that an operator made of the function's arguments/,
    },
    {
      how: 'that depends on nothing that is trained',
      velocity: (x) => ops.neg(x),
      error: ShapeError,
      message: /expected a velocity that depends on the trainable tensors, got one that depends on none of them/,
    },
    {
      how: 'whose function throws',
      velocity: (x) => ops.neg((x as unknown as { y: { z: Tensor } }).y.z),
      error: TypeError,
      message: /^velocity of "mine": Cannot read properties of undefined \(reading 'z'\)/,
    },
    {
      how: 'whose function throws what is no error',
      velocity: () => {
        throw 'a text';
      },
      error: EamError,
      message: /^velocity of "mine" threw a text$/,
    },
    {
      how: 'whose operator does not fit',
      velocity: (x, t, c, context) => ops.add(scaled(x, t, c, context), ops.linear(x, numbers([3, 7], 1))),
      error: ShapeError,
      message:
        /^velocity of .* linear: expected arguments that fit, got x float32 \[2, 1, 4, 4\], weight float32 \[3, 7\]/,
    },
    {
      how: 'that reads the numbers of x',
      velocity: (x, t, c, context) => ops.mul(scaled(x, t, c, context), (x.dataSync() as Float32Array)[0]!),
      error: ConfigError,
      message:
        /a tensor has a shape and no numbers while its function is recorded; compute with the functions of `ops`/,
    },
    {
      how: 'that takes a tensor that was disposed of',
      velocity: (x, t, c, context) => {
        const gone = Tensor.from([1], [1]);
        gone.dispose();
        return ops.mul(scaled(x, t, c, context), gone);
      },
      error: DisposedError,
      message: /^velocity of "mine": mul: b has been disposed/,
    },
    {
      how: 'that waits for the native thread',
      velocity: (x, t, c, context) => {
        defineModel(definition());
        return scaled(x, t, c, context);
      },
      error: ConfigError,
      message: /this call waits for the native thread, which itself waits for the function that makes it/,
    },
  ])('$how', async ({ velocity, error, message }) => {
    const failure: unknown = await draw({ velocity }).catch((thrown: unknown) => thrown);
    expect(failure).toBeInstanceOf(error);
    expect((failure as Error).message).toMatch(message);
  });

  it('that keeps a tensor from an earlier call, when it uses it', async () => {
    kept = undefined;
    const velocity: Velocity = (x, t, c, context) => {
      const result = scaled(x, t, c, context);
      if (kept) return ops.add(result, kept);
      kept = result;
      return result;
    };
    const one = model({ velocity });
    await sampleImages(one, { prompts: ['1'], seed: 1n, steps: 1 });
    await expect(sampleImages(one, { prompts: ['1', '2'], seed: 1n, steps: 1 })).rejects.toThrow(
      /add: b belongs to an earlier call of the function .* do not keep it/,
    );
  });

  it('where a trainable tensor is not used', async () => {
    const trainable = { ...scalar(), b: Tensor.from([1], [1]), c: Tensor.from([1], [1]) };
    await expect(draw({ trainable })).rejects.toThrow(
      /^velocity: expected every trainable tensor to be used, got no use of b, c; leave out of `trainable`/,
    );
  });

  it('with the error itself that was thrown, so that its stack shows where', async () => {
    const mistake = new RangeError('mine');
    const velocity = () => {
      throw mistake;
    };
    expect(await draw({ velocity }).catch((error: unknown) => error)).toBe(mistake);
    expect(mistake.message).toBe('velocity of "mine": mine');
  });

  it('in a training step, after which the trainer can go on', async () => {
    let broken = true;
    const velocity: Velocity = (x, t, c, context) => {
      if (broken) throw new Error('not yet');
      return scaled(x, t, c, context);
    };
    const trainer = new Trainer({
      model: model({ velocity }),
      reward: strokeWeight(),
      prompts: ['1'],
      algorithm: eam({ steps: 1 }),
      optimizer: { learningRate: 1e-3 },
      batch: 2,
    });
    await expect(trainer.run({ steps: 1 }).next()).rejects.toThrow('velocity of "mine": not yet');
    broken = false;
    for await (const { step } of trainer.run({ steps: 2 })) expect(step).toBeLessThan(3);
    expect(trainer.step).toBe(2);
  });
});

describe('what else a definition does is refused', () => {
  it.each<{ how: string; changes: Partial<ModelDefinition>; message: RegExp }>([
    {
      how: 'a decode of something else than images',
      changes: { decode: (latents) => ops.flatten(latents) },
      message: /^decode of "mine": expected images \[2, channels, height, width\], got float32 \[2, 16\]/,
    },
    {
      how: 'an encode of too few rows',
      changes: { encode: () => [numbers([3, 4], 1)] },
      message:
        /^encode of "mine"\[0\]: expected 2 rows, one for each sample, in its first dimension, got shape \[3, 4\]/,
    },
    {
      how: 'an encode of no tensors',
      changes: { encode: () => [[1, 2]] as never },
      message: /^encode of "mine"\[0\]: expected a Tensor, got object/,
    },
    {
      how: 'an encode that gives the same tensor again, which was disposed of',
      changes: { encode: () => [shared] },
      message:
        /has been disposed of: what it returns is handed over and freed after use, so return new tensors each time/,
    },
    {
      how: 'an encode that throws',
      changes: { encode: () => Promise.reject(new Error('no such prompt')) },
      message: /^encode of "mine": no such prompt$/,
    },
  ])('$how', async ({ changes, message }) => {
    await draw(changes).catch(() => {});
    await expect(draw(changes)).rejects.toThrow(message);
  });

  const shared = numbers([2, 3], 1);

  it('guidance without what it leads away from', async () => {
    await expect(sampleImages(model({}), { prompts: ['1'], seed: 1n, guidance: 2 })).rejects.toThrow(
      /the model "mine" defines no unconditional\(\), and cannot be guided: draw at guidance 1, or define it/,
    );
  });

  it('any use after dispose', async () => {
    const gone = model({});
    gone.dispose();
    await expect(sampleImages(gone, { prompts: ['1'], seed: 1n })).rejects.toThrow(DisposedError);
  });
});

describe('defineModel refuses', () => {
  it.each<{ how: string; changes: Record<string, unknown>; message: RegExp }>([
    {
      how: 'a misspelt member',
      changes: { latentshape: [1] },
      message: /latentshape: unknown key; did you mean "latentShape"/,
    },
    {
      how: 'a shape that is none',
      changes: { latentShape: [0, 2] },
      message: /latentShape\[0\]: expected a number of at least 1, got 0/,
    },
    { how: 'no velocity', changes: { velocity: undefined }, message: /velocity: expected a function/ },
    {
      how: 'an array in the place of a tensor',
      changes: { trainable: { a: [1] } },
      message: /trainable\.a: expected a Tensor/,
    },
    {
      how: 'a name twice',
      changes: { weights: scalar() },
      message: /"a" is in weights and in trainable: name it once/,
    },
    {
      how: 'whole numbers to train',
      changes: { trainable: { a: Tensor.from(Int32Array.from([1]), [1]) } },
      message: /trainable\['a'\]: expected floating-point numbers, got int32/,
    },
    {
      how: 'latents that are no images and have no decode',
      changes: { latentShape: [16] },
      message: /decode: expected a function, since latents of another shape .* got none/,
    },
    {
      how: 'an adapter of other names',
      changes: { adapter: { rank: 1, alpha: 1, targets: ['a'] } },
      message: /trainable\['a'\]: expected NAME.lora_A.weight \[1, in\] or .* got another name; or leave out adapter/,
    },
    {
      how: 'an adapter of another rank',
      changes: { adapter: { rank: 2, alpha: 1, targets: ['a'] }, trainable: { 'a.lora_A.weight': numbers([1, 3], 1) } },
      message: /expected NAME.lora_A.weight \[2, in\] .* got shape \[1, 3\]/,
    },
    { how: 'a device that is not there', changes: { device: 'cuda:77' }, message: /device: expected/ },
    { how: 'a dtype that is none', changes: { dtype: 'int8' }, message: /dtype: expected one of "float32"/ },
  ])('$how', ({ changes, message }) => {
    expect(() => model(changes as Partial<ModelDefinition>)).toThrow(message);
  });

  it('a tensor that was disposed of', () => {
    const gone = numbers([1], 1);
    gone.dispose();
    expect(() => model({ trainable: { a: gone } })).toThrow(/disposed/);
  });
});
