import { describe, expect, it } from 'vitest';

import { CheckpointError, ConfigError, ShapeError } from '../../lib/errors.js';
import { loadModel } from '../../lib/models/registry.js';
import { binding } from '../../lib/runtime/native/index.js';
import { tinySd3 } from '../helpers/sd3.js';
import {
  floats,
  freshModel,
  labels,
  largestRelativeError,
  normal,
  randomise,
  relativeError,
  snapshot,
  tinyConfig,
  tinyLora,
  tinyModel,
} from '../helpers/tiny-model.js';

const t = Float32Array.of(0, 0.4, 1);

describe('the digits model', () => {
  it('starts as zero, whatever the input (adaLN-Zero)', async () => {
    const model = freshModel();
    const velocity = await floats(await model.velocity(await normal([3, 1, 8, 8], 1n), t, labels(0, 1, 3), false));
    expect(velocity).toEqual(new Array(3 * 64).fill(0));
  });

  it('is determined by configuration and seed', async () => {
    const create = (seed: bigint) => snapshot(freshModel({ seed }).weights());
    const [first, same, other] = [await create(1n), await create(1n), await create(2n)];
    expect(same).toEqual(first);
    expect(other['patch_embed.weight']).not.toEqual(first['patch_embed.weight']);
  });

  it('reads the time and the label', async () => {
    const model = await tinyModel();
    const x = await normal([1, 1, 8, 8], 1n);
    const at = async (time: number, label: number) =>
      floats(await model.velocity(x, Float32Array.of(time), labels(label), false));
    const reference = await at(0.3, 0);
    expect(relativeError(await at(0.6, 0), reference)).toBeGreaterThan(1e-3);
    expect(relativeError(await at(0.3, 3), reference)).toBeGreaterThan(1e-3);
  });

  it('evaluates each sample on its own', async () => {
    const model = await tinyModel();
    const x = await normal([3, 1, 8, 8], 1n);
    const together = await floats(await model.velocity(x, t, labels(0, 1, 3), false));
    const rows = await floats(x);
    const alone = await model.velocity(
      binding().Tensor.from(Float32Array.from(rows.slice(64, 128)), [1, 1, 8, 8]),
      Float32Array.of(0.4),
      labels(1),
      false,
    );
    expect(relativeError(await floats(alone), together.slice(64, 128))).toBeLessThan(1e-5);
  });

  it('computes the same on one thread and on two', async () => {
    const model = await tinyModel();
    const x = await normal([3, 1, 8, 8], 1n);
    const results: number[][] = [];
    const threads = await binding().threads();
    for (const count of [1, 2]) {
      await binding().setThreads(count);
      results.push(await floats(await model.velocity(x, t, labels(0, 1, 3), false)));
    }
    await binding().setThreads(threads);
    expect(results[1]).toEqual(results[0]);
  });

  it('runs in bfloat16 near its float32 self', async () => {
    const full = await tinyModel();
    const half = freshModel({ dtype: 'bfloat16' });
    await half.load('weights', full.weights());
    const x = await normal([3, 1, 8, 8], 1n);
    const velocity = await half.velocity(x, t, labels(0, 1, 3), false);
    expect(velocity.dtype).toBe('float32');
    const error = relativeError(
      await floats(velocity),
      await floats(await full.velocity(x, t, labels(0, 1, 3), false)),
    );
    expect(error).toBeGreaterThan(0);
    expect(error).toBeLessThan(0.05);
  });

  // Wide enough that its products are given to the faster library, where there is a choice.
  it.each([
    { what: 'every weight', lora: undefined },
    { what: 'an adapter', lora: { rank: 64, alpha: 64, targets: ['attn.qkv', 'mlp.fc1', 'modulation'], seed: 9n } },
  ])('agrees with its float64 self in velocity and gradients, training $what', async ({ lora }) => {
    const config = { ...tinyConfig, imageSize: 16, patchSize: 1, width: 128, heads: 4, mlpRatio: 4 };
    const [x, upstream] = [await normal([3, 1, 16, 16], 1n), await normal([3, 1, 16, 16], 2n)];
    const run = async (dtype: 'float32' | 'float64') => {
      const model = freshModel({ config, lora, dtype });
      await randomise(model, 'weights', 0.08);
      if (lora) await randomise(model, 'trainable', 0.08);
      const {
        velocity,
        x: gradient,
        tensors,
      } = await model.gradients(x, t, labels(0, 1, 3), upstream, model.trainableNames);
      return { velocity: await floats(velocity), x: await floats(gradient), ...(await snapshot(tensors)) };
    };
    expect(largestRelativeError(await run('float32'), await run('float64'))).toBeLessThan(2e-5);
  });

  it('maps latents in [−1, 1] to images in [0, 1]', async () => {
    const model = await tinyModel();
    const latents = binding().Tensor.from(Float32Array.of(-1, 0, 1, 3), [1, 1, 2, 2]);
    expect(await floats(await model.images(latents))).toEqual([0, 0.5, 1, 2]);
  });

  it.each([
    {
      what: 'imageSize',
      change: { imageSize: 9 },
      message: /^digits: imageSize: expected a multiple of patchSize 4, got 9$/,
    },
    { what: 'heads', change: { heads: 3 }, message: /^digits: width: expected a multiple of heads 3, got 16$/ },
    { what: 'depth', change: { depth: 0 }, message: /^digits: depth: expected a number of at least 1, got 0$/ },
    { what: 'mlpRatio', change: { mlpRatio: 0 }, message: /^digits: mlpRatio: expected a number above 0, got 0$/ },
  ])('rejects an impossible $what', ({ change, message }) => {
    expect(() => freshModel({ config: { ...tinyConfig, ...change } })).toThrow(ConfigError);
    expect(() => freshModel({ config: { ...tinyConfig, ...change } })).toThrow(message);
  });

  it.each([
    {
      what: 'x',
      shape: [3, 1, 8, 9],
      numbers: [0, 1, 2],
      message: /x: expected shape \[B, 1, 8, 8\], got \[3, 1, 8, 9\]/,
    },
    {
      what: 'a label',
      shape: [3, 1, 8, 8],
      numbers: [0, 1, 4],
      message: /conditioning\[0\]: expected labels from 0 to 2, or 3 for none, got 4/,
    },
    {
      what: 'the number of labels',
      shape: [3, 1, 8, 8],
      numbers: [0, 1],
      message: /expected int64 labels \[3\], got Long \[2\]/,
    },
  ])('rejects $what that does not fit', async ({ shape, numbers, message }) => {
    const model = await tinyModel();
    const velocity = model.velocity(await normal(shape, 1n), t, labels(...numbers), false);
    await expect(velocity).rejects.toThrow(ShapeError);
    await expect(velocity).rejects.toThrow(message);
  });

  it('rejects weights of another shape or name, and changes nothing', async () => {
    const model = await tinyModel();
    const before = await snapshot(model.weights());
    const { 'patch_embed.weight': patch, ...rest } = model.weights();
    const wrong = { ...rest, 'patch_embed.weight': await normal([16, 15], 1n) };
    await expect(model.load('weights', wrong)).rejects.toThrow(
      /patch_embed\.weight: expected shape \[16, 16\], got \[16, 15\]/,
    );
    await expect(model.load('weights', rest)).rejects.toThrow(
      /patch_embed\.weight: expected shape \[16, 16\], but it is missing/,
    );
    const extra = model.load('weights', { ...rest, 'patch_embed.weight': patch!, extra: patch! });
    await expect(extra).rejects.toThrow(CheckpointError);
    await expect(extra).rejects.toThrow(/extra: unknown tensor of shape \[16, 16\]/);
    expect(await snapshot(model.weights())).toEqual(before);
  });
});

describe('an adapter', () => {
  it('changes nothing before training, to the bit', async () => {
    const base = await tinyModel();
    const adapted = await tinyModel(tinyLora);
    const x = await normal([3, 1, 8, 8], 1n);
    expect(await floats(await adapted.velocity(x, t, labels(0, 1, 3), false))).toEqual(
      await floats(await base.velocity(x, t, labels(0, 1, 3), false)),
    );
  });

  it('leaves the pretrained velocity as it was, to the bit', async () => {
    const base = await tinyModel();
    const adapted = await tinyModel(tinyLora);
    await randomise(adapted, 'trainable', 0.3);
    const x = await normal([3, 1, 8, 8], 1n);
    const pretrained = await floats(await base.velocity(x, t, labels(0, 1, 3), false));
    expect(await floats(await adapted.velocity(x, t, labels(0, 1, 3), true))).toEqual(pretrained);
    expect(
      relativeError(await floats(await adapted.velocity(x, t, labels(0, 1, 3), false)), pretrained),
    ).toBeGreaterThan(1e-3);
  });

  it('equals weights with (alpha/rank) B A added', async () => {
    const adapted = await tinyModel(tinyLora);
    await randomise(adapted, 'trainable', 0.3);
    const merged = await tinyModel();
    const weights = merged.weights();
    const adapters = await snapshot(adapted.trainable());
    const rank = tinyLora.rank;
    const scale = tinyLora.alpha / rank;
    for (const name of Object.keys(adapters).filter((key) => key.endsWith('.lora_A.weight'))) {
      const layer = name.replace('.lora_A.weight', '');
      const weight = weights[`${layer}.weight`]!;
      const [out, inner] = weight.shape as [number, number];
      const A = adapters[name]!;
      const B = adapters[`${layer}.lora_B.weight`]!;
      const sum = Float32Array.from(await floats(weight), (value, index) => {
        const row = Math.floor(index / inner);
        const column = index % inner;
        for (let r = 0; r < rank; r++) value += scale * B[row * rank + r]! * A[r * inner + column]!;
        return value;
      });
      weights[`${layer}.weight`] = binding().Tensor.from(sum, [out, inner]);
    }
    await merged.load('weights', weights);
    const x = await normal([3, 1, 8, 8], 1n);
    const error = relativeError(
      await floats(await adapted.velocity(x, t, labels(0, 1, 3), false)),
      await floats(await merged.velocity(x, t, labels(0, 1, 3), false)),
    );
    expect(error).toBeLessThan(1e-5);
  });

  it('trains the layers whose names end in a target, and no other', async () => {
    const model = await tinyModel({ ...tinyLora, targets: ['blocks.1.attn.qkv', 'fc1'] });
    expect(model.trainableNames.filter((name) => name.includes('lora_A'))).toEqual([
      'time_embed.fc1.lora_A.weight',
      'blocks.0.mlp.fc1.lora_A.weight',
      'blocks.1.attn.qkv.lora_A.weight',
      'blocks.1.mlp.fc1.lora_A.weight',
    ]);
  });

  it.each([
    {
      change: { targets: ['qk'] },
      message: new RegExp(
        String.raw`adapter\.targets: expected ends of layers' names, got "qk"; the layers are, for block ` +
          String.raw`N:\n( {2}\S+\n)* {2}blocks\.N\.attn\.qkv\n`,
      ),
    },
    { change: { rank: 0 }, message: /^digits: adapter\.rank: expected a number of at least 1, got 0$/ },
    { change: { targets: [] }, message: /adapter\.targets: expected at least one layer to train, got none/ },
  ])('rejects $change', async ({ change, message }) => {
    await expect(tinyModel({ ...tinyLora, ...change })).rejects.toThrow(message);
  });
});

it.each(['digits', tinySd3])('loadModel offers for %s the dtypes that a network computes in', async (source) => {
  await expect(loadModel(source, { dtype: 'int32' as never })).rejects.toThrow(
    /dtype`?: expected one of "float32", "float64", "bfloat16", "float16", got "int32"/,
  );
});

describe('the digit classifier', () => {
  const config = { imageSize: 8, channels: 1, widths: [4, 8], features: 6, classes: 3 };
  const wanted = Int32Array.of(0, 2);

  it('gives the gradient of the summed log-probabilities', async () => {
    const classifier = binding().newNetwork('digit-classifier', { config, seed: 5n, device: 'cpu' });
    const images = await normal([2, 1, 8, 8], 3n);
    const { values, grad } = await classifier.logProbability(images, wanted, true);
    expect(Array.from(values).every((value) => value < 0)).toBe(true);
    const gradient = await floats(grad!);
    const pixels = await floats(images);
    const direction = gradient.map((value) => value / Math.hypot(...gradient));
    const sumAt = async (step: number) => {
      const moved = binding().Tensor.from(
        Float32Array.from(pixels, (value, i) => value + step * direction[i]!),
        [2, 1, 8, 8],
      );
      return (await classifier.logProbability(moved, wanted, false)).values.reduce((sum, value) => sum + value, 0);
    };
    const slope = ((await sumAt(0.05)) - (await sumAt(-0.05))) / 0.1;
    expect(slope / Math.hypot(...gradient)).toBeCloseTo(1, 2);
  });

  it('learns to tell bright images from dark ones, by cross-entropy', async () => {
    const classifier = binding().newNetwork('digit-classifier', { config, seed: 5n, device: 'cpu' });
    const optimizer = new (binding().AdamW)(classifier, {});
    const pixels = Float32Array.from({ length: 16 * 64 }, (_, i) => (Math.floor(i / 64) % 2) * 0.8 + (i % 7) * 0.02);
    const images = binding().Tensor.from(pixels, [16, 1, 8, 8]);
    const classes = Int32Array.from({ length: 16 }, (_, i) => i % 2);
    const first = await classifier.accumulate(images, classes, 0.1);
    await optimizer.step(1e-2, Infinity);
    for (let step = 0; step < 60; step++) {
      await classifier.accumulate(images, classes, 0.1);
      await optimizer.step(1e-2, Infinity);
    }
    const last = await classifier.accumulate(images, classes, 0);
    expect(last.correct).toBe(16);
    expect(last.loss).toBeLessThan(first.loss / 3);
    const { predicted, features } = await classifier.logProbability(images, classes, false);
    expect(predicted).toEqual(classes);
    expect(features.shape).toEqual([16, 6]);
  });

  it('smooths its labels', async () => {
    const classifier = binding().newNetwork('digit-classifier', { config, seed: 5n, device: 'cpu' });
    const images = await normal([2, 1, 8, 8], 3n);
    const perClass = await Promise.all(
      [0, 1, 2].map(
        async (label) => (await classifier.logProbability(images, Int32Array.of(label, label), false)).values,
      ),
    );
    const expected = wanted.reduce((sum, label, image) => {
      const mean = perClass.reduce((total, values) => total + values[image]!, 0) / 3;
      return sum - (0.8 * perClass[label]![image]! + 0.2 * mean) / 2;
    }, 0);
    expect((await classifier.accumulate(images, wanted, 0.2)).loss).toBeCloseTo(expected, 5);
  });

  it.each([
    {
      what: 'a label',
      shape: [2, 1, 8, 8],
      bad: Int32Array.of(0, 3),
      message: /labels\[1\]: expected .* 0 to 2, got 3/,
    },
    {
      what: 'too few labels',
      shape: [2, 1, 8, 8],
      bad: Int32Array.of(0),
      message: /labels: expected one .* 2 images.*, got 1/,
    },
    {
      what: 'images',
      shape: [2, 1, 4, 8],
      bad: Int32Array.of(0, 1),
      message: /images: expected shape \[B, 1, 8, 8\], got \[2, 1, 4, 8\]/,
    },
  ])('rejects $what that does not fit', async ({ shape, bad, message }) => {
    const classifier = binding().newNetwork('digit-classifier', { config, seed: 5n, device: 'cpu' });
    await expect(classifier.logProbability(await normal(shape, 1n), bad, false)).rejects.toThrow(message);
  });
});
