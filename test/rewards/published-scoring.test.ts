// What a user's images and options may be like; that the numbers are right is in published-rewards.test.ts.
import { describe, expect, it, vi } from 'vitest';

import { CheckpointError, ConfigError, ShapeError } from '../../lib/errors.js';
import { binding } from '../../lib/runtime/native/index.js';
import { createRewards, rewardSchema } from '../../lib/rewards/registry.js';
import { Tensor } from '../../lib/runtime/native/tensor.js';
import { numbersOf } from '../helpers/numbers.js';
import { goldensOf, publishedReward, rewardDirectory, rewardNames } from '../helpers/reward-directories.js';

describe('published rewards', () => {
  const wide = async () => (await goldensOf('pickscore')).tensors['wide.images']!;

  it.each(rewardNames)('score images of any shape: %s', async (name) => {
    const reward = publishedReward(name);
    for (const [height, width] of [
      [1, 1],
      [1, 400],
      [400, 2],
      [32, 32],
    ] as const) {
      const images = Tensor.from(
        Float32Array.from({ length: 3 * height * width }, (_, index) => (index % 7) / 6),
        [1, 3, height, width],
      );
      const { values, grad } = await reward.score(images, ['a fox'], { gradient: true });
      expect(grad!.shape).toEqual([1, 3, height, width]);
      expect([Number.isFinite(values[0]), (await numbersOf(grad!)).every(Number.isFinite)]).toEqual([true, true]);
    }
  });

  it.each(rewardNames)('keep an image that is not finite to its own value: %s', async (name) => {
    const images = await wide();
    const prompts = ['a', 'b', 'c', 'd'];
    const clean = await publishedReward(name).score(images, prompts);
    const data = ((await images.data()) as Float32Array).slice();
    data[3 * 48 * 80 + 40 * 80 + 40] = NaN;
    const { values, grad } = await publishedReward(name).score(Tensor.from(data, images.shape), prompts, {
      gradient: true,
    });
    expect(Array.from(values, Number.isFinite)).toEqual([true, false, true, true]);
    for (const image of [0, 2, 3]) expect(values[image]).toBeCloseTo(clean.values[image]!, 5);
    const rows = await numbersOf(grad!);
    expect(rows.slice(0, 3 * 48 * 80).every(Number.isFinite)).toBe(true);
  });

  it('refuse images of one channel', async () => {
    const gray = Tensor.from(new Float32Array(64), [1, 1, 8, 8]);
    await expect(publishedReward('hpsv2').score(gray, ['p'])).rejects.toThrow(
      /hpsv2: images: expected shape \[1, 3, height, width\], .*, got \[1, 1, 8, 8\]/,
    );
    await expect(publishedReward('hpsv2').score(gray, ['p'])).rejects.toThrow(ShapeError);
    await expect(publishedReward('hpsv2').score(await wide(), ['p'])).rejects.toThrow(
      /expected shape \[1, 3, height, width\]/,
    );
    await expect(
      publishedReward('hpsv2').score(Tensor.from(new Float32Array(3), [1, 3, 1, 1]), [undefined as unknown as string]),
    ).rejects.toThrow(/prompts\[0\]: expected a string, got undefined/);
  });

  it('cut prompts that are too long, count them and say so once', async () => {
    const onNote = vi.fn();
    const reward = publishedReward('imagereward', undefined, { onNote });
    const [long, short] = ['a bowl of ramen '.repeat(40), 'ramen'];
    expect(reward.truncatedPrompts).toBe(0);
    for (let time = 0; time < 2; time++) await reward.score(await wide(), [long, short, long, `${long} too`]);
    expect(reward.truncatedPrompts).toBe(2);
    expect(onNote.mock.calls).toEqual([
      [expect.stringMatching(/^imagereward: cut a prompt that is longer than its window: "a bowl of ramen .*…"$/)],
      [expect.anything()],
    ]);
  });
});

describe('the options of published rewards', () => {
  it('let a batch be scored in slices, with the same values and gradient', async () => {
    const { tensors, prompts } = await goldensOf('imagereward');
    const images = tensors['square.images']!;
    const [whole, sliced] = [publishedReward('imagereward'), publishedReward('imagereward', undefined, { slice: 3 })];
    const [a, b] = await Promise.all(
      [whole, sliced].map((reward) => reward.score(images, prompts, { gradient: true })),
    );
    for (const [image, value] of a!.values.entries()) expect(b!.values[image]).toBeCloseTo(value, 5);
    const [left, right] = [await numbersOf(a!.grad!), await numbersOf(b!.grad!)];
    const scale = Math.max(...left.map(Math.abs));
    expect(Math.max(...left.map((value, index) => Math.abs(value - right[index]!)))).toBeLessThan(1e-5 * scale);
  });

  it('let a reward compute in bfloat16, near float32', async () => {
    const { tensors, prompts } = await goldensOf('pickscore');
    const half = await publishedReward('pickscore', undefined, { dtype: 'bfloat16' }).score(
      tensors['square.images']!,
      prompts,
      { gradient: true },
    );
    const exact = await publishedReward('pickscore').score(tensors['square.images']!, prompts);
    expect(half.grad!.dtype).toBe('float32');
    for (const [image, value] of exact.values.entries()) {
      expect(Math.abs(half.values[image]! - value)).toBeLessThan(0.5);
      expect(half.values[image]).not.toBe(value);
    }
  });

  it('let images be resized in bytes, without a gradient', async () => {
    const { tensors, prompts } = await goldensOf('pickscore');
    const reward = publishedReward('pickscore', undefined, { asReference: true });
    await expect(reward.score(tensors['wide.images']!, prompts, { gradient: true })).rejects.toThrow(/bytes/);
    const { values } = await reward.score(tensors['wide.images']!, prompts);
    const golden = await numbersOf(tensors['wide.scores']!);
    for (const [image, value] of golden.entries()) expect(values[image]).toBeCloseTo(value, 0);
  });

  it('come from a configuration by name, and are checked before anything runs', async () => {
    const parse = (config: object) => rewardSchema.parse(config);
    const reward = await createRewards(
      [
        parse({ name: 'pickscore', directory: rewardDirectory('pickscore'), weight: 0.5, slice: 2 }),
        parse({
          name: 'aesthetic',
          directory: rewardDirectory('aesthetic'),
          tower: rewardDirectory('clipscore'),
          weight: 2,
        }),
        parse({
          name: 'hpsv2',
          directory: rewardDirectory('hpsv2'),
          dtype: 'float32',
          tokenizer: rewardDirectory('pickscore'),
        }),
      ],
      'cpu',
    );
    const { tensors, prompts } = await goldensOf('pickscore');
    const { values, parts, weights } = await reward.score(tensors['square.images']!, prompts);
    expect(weights).toEqual({ pickscore: 0.5, aesthetic: 2, hpsv2: 1 });
    const golden = await numbersOf(tensors['square.scores']!);
    for (const [image, value] of golden.entries()) {
      expect(parts!['pickscore']![image]).toBeCloseTo(value, 4);
      expect(values[image]).toBeCloseTo(0.5 * value + 2 * parts!['aesthetic']![image]! + parts!['hpsv2']![image]!, 5);
    }
    await expect(createRewards([parse({ name: 'clipscore', directory: 'nowhere' })], 'cpu')).rejects.toThrow(
      CheckpointError,
    );
    expect(() => parse({ name: 'clipscore', directory: '' })).toThrow(/directory/);
    await expect(publishedReward('pickscore', undefined, { device: 'tpu' }).load()).rejects.toThrow(ConfigError);
  });

  it('are kept by a reward that was disposed of: it is not loaded again', async () => {
    const reward = publishedReward('clipscore');
    await reward.load();
    reward.dispose();
    await Promise.resolve();
    await expect(reward.features(Tensor.from(new Float32Array(12), [1, 3, 2, 2]))).rejects.toThrow(/dispose/);
  });
});

describe('image features of a published reward', () => {
  it('come beside the scores where asked for, and alone no more images at a time than the slice', async () => {
    const { tensors, prompts } = await goldensOf('pickscore');
    const images = tensors['wide.images']!;
    const reward = publishedReward('pickscore', undefined, { slice: 3 });
    const alone = await numbersOf(await publishedReward('pickscore').features(images));
    const { values, features } = await reward.score(images, prompts, { features: true });
    expect(Array.from(values)).toEqual(Array.from((await reward.score(images, prompts)).values));
    for (const given of [features!, await reward.features(images)]) {
      for (const [index, value] of (await numbersOf(given)).entries()) expect(value).toBeCloseTo(alone[index]!, 5);
    }
    expect('features' in (await reward.score(images, prompts))).toBe(false);
    // The setting gets there: what is no number of images is refused.
    await expect(publishedReward('pickscore', undefined, { slice: -3 }).features(images)).rejects.toThrow(
      /slice: expected 0 \(all\) or more, got -3/,
    );
  });

  it('are of unit length, and their mean cosine distance is that of all pairs', async () => {
    const { tensors } = await goldensOf('clipscore');
    const features = await publishedReward('clipscore').features(tensors['square.images']!);
    const [count, length] = features.shape as [number, number];
    const data = await numbersOf(features);
    const rows = Array.from({ length: count }, (_, row) => data.slice(row * length, (row + 1) * length));
    const dot = (a: number[], b: number[]) => a.reduce((sum, value, index) => sum + value * b[index]!, 0);
    for (const row of rows) expect(dot(row, row)).toBeCloseTo(1, 5);
    const pairs = rows.flatMap((a, i) => rows.slice(i + 1).map((b) => 1 - dot(a, b)));
    const mean = pairs.reduce((sum, value) => sum + value, 0) / pairs.length;
    expect(await binding().meanPairwiseCosineDistance(features)).toBeCloseTo(mean, 6);
    expect(await binding().meanPairwiseCosineDistance(Tensor.from([3, 0, 0, 2, 0, 0], [3, 2]))).toBeCloseTo(1, 12);
    await expect(binding().meanPairwiseCosineDistance(Tensor.from([1, 2], [1, 2]))).rejects.toThrow(
      /at least two rows/,
    );
  });
});
