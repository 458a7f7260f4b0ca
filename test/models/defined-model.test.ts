// Models whose velocity is written in TypeScript: what they compute.
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

import { afterAll, beforeAll, describe, expect, it } from 'vitest';

import { defineModel, type Model, ops, sampleImages, Tensor } from '../../lib/index.js';
import { definition, latentShape, numbers, run, trainableOf, trainerOf } from '../helpers/defined-model.js';
import { slopeAlong } from '../helpers/gradient-check.js';
import { expectClose, numbersOf } from '../helpers/numbers.js';

let folder: string;
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'eam-defined-'));
});
afterAll(() => rm(folder, { recursive: true }));

const prompts = ['1', '2', '7'];
const t = Float32Array.from([0.2, 0.5, 0.9]);
const latents = () => numbers([prompts.length, ...latentShape], 11, 1);

const velocity = async (model: Model, pretrained = false, x = latents()) =>
  numbersOf(await model.native.velocity(x, t, await model.encode(prompts), pretrained));

/** x, t and one number that is trained. */
const plain = (changes: Partial<Parameters<typeof defineModel>[0]> = {}) =>
  defineModel({
    name: 'plain',
    latentShape,
    trainable: { a: Tensor.from([2], []) },
    velocity: (x, _t, _conditioning, { parameters }) => ops.mul(x, parameters['a']!),
    ...changes,
  });

describe('the velocity of a defined model', () => {
  it('is what its operators compute of x, t and the parameters', async () => {
    using model = plain({
      velocity: (x, time, _, { parameters }) =>
        ops.add(ops.mul(x, parameters['a']!), ops.reshape(time, [x.shape[0]!, 1, 1, 1])),
    });
    const x = await numbersOf(latents());
    expectClose(
      await velocity(model),
      x.map((value, i) => 2 * value + t[Math.floor(i / 16)]!),
      1e-6,
    );
  });

  it('reads several tensors of conditioning', async () => {
    using model = defineModel(definition());
    const conditioning = await model.encode(prompts);
    expect(conditioning.map(({ shape }) => shape)).toEqual([[3], [3, 2]]);
    const each = await velocity(model);
    const first = await model.native.velocity(latents(), t, [conditioning[0]!, numbers([3, 2], 1)], false);
    expect(await numbersOf(first)).not.toEqual(each);
  });

  it('is given no conditioning by a model that reads no prompts', async () => {
    let given: number | undefined;
    using model = plain({
      velocity: (x, _t, conditioning, { parameters }) => {
        given = conditioning.length;
        return ops.mul(x, parameters['a']!);
      },
    });
    await sampleImages(model, { prompts: ['a', 'b'], seed: 1n, steps: 2 });
    expect(given).toBe(0);
  });

  it('has the gradients of its values, with respect to x and to what is trained', async () => {
    using model = defineModel(definition());
    const conditioning = await model.encode(prompts);
    const upstream = numbers([3, ...latentShape], 20, 1);
    const weights = await numbersOf(upstream);
    const names = model.native.trainableNames;
    const found = await model.native.gradients(latents(), t, conditioning, upstream, names);
    const gradients = Object.fromEntries(
      await Promise.all(names.map(async (name) => [name, await numbersOf(found.tensors[name]!)] as const)),
    );
    const gradient = await numbersOf(found.x);
    const norm = Math.hypot(...gradient);
    const along = gradient.map((value) => value / norm);
    const moved = async (distance: number) => {
      const x = (await numbersOf(latents())).map((value, i) => value + distance * along[i]!);
      const values = await velocity(model, false, Tensor.from(Float32Array.from(x), [3, ...latentShape]));
      return values.reduce((sum, value, i) => sum + value * weights[i]!, 0);
    };
    expect(((await moved(1e-2)) - (await moved(-1e-2))) / 2e-2 / norm).toBeCloseTo(1, 3);
    const loss = async () => (await velocity(model)).reduce((sum, value, i) => sum + value * weights[i]!, 0);
    expect(await slopeAlong(model.native, gradients, loss)).toBeCloseTo(1, 3);
  });

  it('is recorded once for each set of shapes, and computed from then on', async () => {
    const seen: string[] = [];
    const { velocity: compute, ...rest } = definition();
    using model = defineModel({
      ...rest,
      velocity(x, time, conditioning, context) {
        seen.push(`${x.shape[0]}${context.pretrained ? ' pretrained' : ''}`);
        return compute(x, time, conditioning, context);
      },
    });
    await sampleImages(model, { prompts: ['1', '2', '3'], seed: 1n, batch: 2, steps: 3 });
    await sampleImages(model, { prompts: ['1', '2', '3'], seed: 1n, batch: 2, steps: 3, weights: 'pretrained' });
    await sampleImages(model, { prompts: ['1', '2', '3'], seed: 2n, batch: 2, steps: 3 });
    expect(seen).toEqual(['2', '1', '2 pretrained', '1 pretrained']);
  });

  it('computes in half precision where the weights are kept in it', async () => {
    using full = defineModel(definition());
    const { velocity: compute, ...rest } = definition({ dtype: 'bfloat16' });
    using half = defineModel({
      ...rest,
      velocity: (x, time, [labels, style], { parameters, ...context }) =>
        compute(
          ops.cast(x, 'bfloat16'),
          ops.cast(time, 'bfloat16'),
          [labels!, ops.cast(style!, 'bfloat16')],
          // What is trained stays float32.
          {
            ...context,
            parameters: Object.fromEntries(Object.entries(parameters).map(([k, v]) => [k, ops.cast(v, 'bfloat16')])),
          },
        ),
    });
    expect(half.native.weights()['conv.weight']!.dtype).toBe('bfloat16');
    expect(half.native.trainable()['out.bias']!.dtype).toBe('float32');
    const found = await half.native.velocity(latents(), t, await half.encode(prompts), false);
    expect(found.dtype).toBe('float32');
    expectClose(await numbersOf(found), await velocity(full), 2e-2);
  });
});

describe('the pretrained velocity of a defined model', () => {
  it('stays that of the first values while the others are trained', async () => {
    using model = defineModel(definition());
    const before = await velocity(model);
    expect(await velocity(model, true)).toEqual(before);
    await run(trainerOf(model), 2);
    expect(await velocity(model, true)).toEqual(before);
    expect(await velocity(model)).not.toEqual(before);
  });

  it('can leave out adapters', async () => {
    using model = plain({
      velocity: (x, _t, _c, { parameters, pretrained }) => (pretrained ? ops.neg(x) : ops.mul(x, parameters['a']!)),
    });
    const x = await numbersOf(latents());
    expect(await velocity(model, true)).toEqual(x.map((value) => -value));
    expectClose(
      await velocity(model),
      x.map((value) => 2 * value),
      1e-6,
    );
  });

  it('does not change with the arrays and tensors that the definition was made of', async () => {
    const data = Float32Array.from([2]);
    const own = Tensor.from(data, []);
    using model = plain({ trainable: { a: own } });
    data[0] = 100;
    own.dispose();
    const x = await numbersOf(latents());
    expectClose(
      await velocity(model),
      x.map((value) => 2 * value),
      1e-6,
    );
  });
});

describe('the images of a defined model', () => {
  it('are its latents from [−1, 1] to [0, 1] where it does not say', async () => {
    using model = plain();
    const images = await numbersOf(await model.native.images(latents()));
    expectClose(
      images,
      (await numbersOf(latents())).map((value) => value / 2 + 0.5),
      1e-6,
    );
  });

  it('are what its own decode makes, with a gradient to the latents', async () => {
    using model = defineModel({
      ...definition({ latentShape: [16] }),
      weights: { up: numbers([48, 16], 3, 0.2) },
      trainable: { a: Tensor.from([0.5], []) },
      velocity: (x, _t, _c, { parameters }) => ops.mul(x, parameters['a']!),
      decode: (x, { parameters }) => ops.sigmoid(ops.reshape(ops.linear(x, parameters['up']!), [x.shape[0]!, 3, 4, 4])),
    });
    const images = await sampleImages(model, { prompts: ['1', '2'], seed: 1n, steps: 2 });
    expect(images.shape).toEqual([2, 3, 4, 4]);
    await run(trainerOf(model), 1);
    expect(await trainableOf(model)).not.toEqual([0.5]);
  });
});

describe('a model that implements the interface itself', () => {
  class Mirrored implements Model {
    readonly name = 'mirrored';
    readonly source = 'mirrored';
    readonly adapter = undefined;
    readonly device = 'cpu';
    readonly dtype = 'float32';
    readonly latentShape = latentShape;
    readonly sampling = { steps: 2, solver: 'euler', guidance: 1, batch: 4 } as const;
    readonly #inner = defineModel(definition());
    get native() {
      return this.#inner.native;
    }
    timeShift = () => 1;
    times = (steps: number) => Array.from({ length: steps + 1 }, (_, step) => step / steps);
    async prepare() {}
    encode = (asked: readonly string[]) => this.#inner.encode([...asked].reverse());
    unconditional = (count: number) => this.#inner.unconditional(count);
    loadAdapter = (directory: string) => this.#inner.loadAdapter(directory);
    saveAdapter = (directory: string, tensors?: Readonly<Record<string, Tensor>>) =>
      this.#inner.saveAdapter(directory, tensors);
    dispose = () => this.#inner.dispose();
    [Symbol.dispose] = () => this.#inner.dispose();
  }

  it('draws and trains', async () => {
    using model = new Mirrored();
    const images = await sampleImages(model, { prompts: ['1', '5'], seed: 1n });
    expect(images.shape).toEqual([2, 1, 4, 4]);
    const before = await trainableOf(model);
    await run(trainerOf(model, join(folder, 'mirrored')), 2);
    expect(await trainableOf(model)).not.toEqual(before);
  });
});
