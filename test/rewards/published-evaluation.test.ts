// eam evaluate with published rewards: PNGs, diversity, prompts that are too long.
import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';

import { encode } from 'fast-png';
import { describe, expect, it, vi } from 'vitest';

import { binding } from '../../lib/runtime/native/index.js';
import { ScoreBook } from '../../lib/jobs/evaluate/score-book.js';
import type { SampleScores, ScoreSummary } from '../../lib/jobs/evaluate/summary.js';
import { Tensor } from '../../lib/runtime/native/tensor.js';
import { eam } from '../helpers/command-line.js';
import { goldensOf, publishedReward, rewardDirectory } from '../helpers/reward-directories.js';
import { temporaryFolder } from '../helpers/tiny-run.js';

const size = { width: 48, height: 40 };

/** Images with edges and gradients, as files and as the numbers in them. */
function pictures(count: number): { folder: string; images: Tensor } {
  const folder = temporaryFolder();
  const { width, height } = size;
  const all = new Float32Array(count * 3 * width * height);
  for (let image = 0; image < count; image++) {
    const data = Uint8Array.from({ length: width * height * 3 }, (_, index) => {
      const [pixel, color] = [Math.floor(index / 3), index % 3];
      const [x, y] = [pixel % width, Math.floor(pixel / width)];
      return (x + 3 * image) % 16 < 8 ? 5 * y + 40 * color : (x * (image + 1) * (color + 1)) % 256;
    });
    writeFileSync(join(folder, `${image}.png`), encode({ width, height, channels: 3, data }));
    for (let color = 0; color < 3; color++) {
      for (let pixel = 0; pixel < width * height; pixel++)
        all[(image * 3 + color) * width * height + pixel] = data[3 * pixel + color]! / 255;
    }
  }
  return { folder, images: Tensor.from(all, [count, 3, height, width]) };
}

async function evaluate(folder: string, prompts: readonly string[], ...args: string[]) {
  const [file, out] = [join(folder, 'prompts.txt'), join(folder, 'scores.jsonl')];
  writeFileSync(file, prompts.join('\n'));
  const result = await eam('evaluate', '--images', folder, '--prompts', file, '--out', out, ...args);
  expect(result).toMatchObject({ code: 0 });
  return {
    ...result,
    samples: readFileSync(out, 'utf8')
      .trimEnd()
      .split('\n')
      .map((line) => JSON.parse(line) as SampleScores),
  };
}

describe('eam evaluate', () => {
  it('scores PNGs as their numbers are scored, and says how different the images of a prompt are', async () => {
    const { folder, images } = pictures(4);
    const prompts = ['a fox', 'a fox', 'ramen', 'a fox'];
    const aesthetic = `aesthetic=${rewardDirectory('aesthetic')},tower=${rewardDirectory('clipscore')}`;
    const { stdout, samples } = await evaluate(
      folder,
      prompts,
      '--reward',
      `pickscore=${rewardDirectory('pickscore')}`,
      '--reward',
      aesthetic,
      '--batch',
      '3',
      '--json',
      '--quiet',
    );
    const reward = publishedReward('pickscore');
    const [values, scores] = [
      (await reward.score(images, prompts)).values,
      (await publishedReward('aesthetic').score(images, prompts)).values,
    ];
    for (const [index, sample] of samples.entries()) {
      expect(sample).toMatchObject({ file: `${index}.png`, prompt: prompts[index] });
      expect(sample.scores).toEqual({
        pickscore: expect.closeTo(values[index]!, 4) as number,
        aesthetic: expect.closeTo(scores[index]!, 5) as number,
      });
    }
    const { diversity } = JSON.parse(stdout) as ScoreSummary;
    const features = (await (await reward.features(images)).data()) as Float32Array;
    const length = features.length / 4;
    const foxes = Float32Array.from(
      { length: 3 * length },
      (_, index) => features[index < 2 * length ? index : index + length]!,
    );
    const expected = await binding().meanPairwiseCosineDistance(Tensor.from(foxes, [3, length]));
    expect(diversity).toEqual({
      meanCosineDistance: expect.closeTo(expected, 5) as number,
      features: 'pickscore',
      prompts: 1,
    });
    expect(expected).toBeGreaterThan(1e-3);
  });

  it('sends each image through a tower once, although prompts repeat', async () => {
    const { images } = pictures(3);
    const rewards = [publishedReward('hpsv2'), publishedReward('pickscore')];
    const calls = rewards.map((reward) => [
      vi.spyOn(reward, 'score'),
      vi.spyOn(reward, 'features'),
      vi.spyOn(reward, 'preprocess'),
    ]);
    const book = new ScoreBook(rewards, ['a fox', 'a fox', 'ramen']);
    await book.add(
      images,
      ['a fox', 'a fox', 'ramen'].map((prompt) => ({ prompt })),
    );
    expect(calls.map((spies) => spies.map(({ mock }) => mock.calls.length))).toEqual([
      [1, 0, 0],
      [1, 0, 0],
    ]);
    const { diversity } = await book.summary();
    vi.restoreAllMocks();
    const features = (await (await rewards[0]!.features(images)).data()) as Float32Array;
    const foxes = Tensor.from(features.slice(0, (2 * features.length) / 3), [2, features.length / 3]);
    expect(diversity).toMatchObject({
      meanCosineDistance: expect.closeTo(await binding().meanPairwiseCosineDistance(foxes), 5) as number,
      features: 'hpsv2',
      prompts: 1,
    });
    // Where no prompt repeats nobody asks for features.
    const asked = vi.spyOn(rewards[0]!, 'score');
    await new ScoreBook(rewards, ['a', 'b', 'c']).add(
      images,
      ['a', 'b', 'c'].map((prompt) => ({ prompt })),
    );
    expect(asked.mock.calls.map(([, , options]) => options)).toEqual([{}]);
  });

  it('scores as the reference scripts do where asked: near, but not the same', async () => {
    const { folder, images } = pictures(2);
    const prompts = ['a fox', 'ramen'];
    const args = ['--reward', `hpsv2=${rewardDirectory('hpsv2')}`, '--quiet'];
    const plain = await evaluate(folder, prompts, ...args);
    const { samples } = await evaluate(folder, prompts, ...args, '--as-reference');
    const { values } = await publishedReward('hpsv2', undefined, { asReference: true }).score(images, prompts);
    for (const [index, { scores }] of samples.entries()) {
      expect(scores['hpsv2']).toBeCloseTo(values[index]!, 5);
      expect(scores['hpsv2']).not.toBe(plain.samples[index]!.scores['hpsv2']);
      expect(scores['hpsv2']).toBeCloseTo(plain.samples[index]!.scores['hpsv2']!, 1);
    }
  });

  it('tells of prompts that are cut', async () => {
    const { folder } = pictures(2);
    const { prompts } = await goldensOf('clipscore');
    const { stdout, stderr } = await evaluate(
      folder,
      [prompts[3]!, 'ramen'],
      '--reward',
      `clipscore=${rewardDirectory('clipscore')}`,
    );
    expect(stderr).toMatch(/clipscore: cut a prompt that is longer than its window: "a bowl of ramen/);
    expect(stderr).toMatch(/clipscore: 1 prompt was longer than its window, and cut/);
    expect(stdout).toMatch(/^clipscore +2 +-?\d/m);
  });

  it('refuses a directory that does not fit before it reads an image', async () => {
    const { folder } = pictures(1);
    writeFileSync(join(folder, 'prompts.txt'), 'one');
    const { code, stderr } = await eam(
      'evaluate',
      '--images',
      folder,
      '--prompts',
      join(folder, 'prompts.txt'),
      '--reward',
      `hpsv2=${rewardDirectory('clipscore')}`,
      '--quiet',
    );
    expect([code, stderr]).toEqual([1, expect.stringMatching(/there is no HPS_v2\.1_compressed/)]);
  });
});
