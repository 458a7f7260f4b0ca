// An evaluation keeps this of every sample: rewards to the bit, and the images of the best and the worst.
import { existsSync, readdirSync, readFileSync, statSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';

import { describe, expect, it } from 'vitest';

import { readSamples, samplesFile, writeSamples } from '../../lib/jobs/evaluated/sample-file.js';
import type { EvaluatedSamples } from '../../lib/jobs/evaluated/sample-file.js';
import { exampleFile, SampleKeeper } from '../../lib/jobs/evaluated/sample-keeper.js';
import { Ranking } from '../../lib/jobs/evaluated/ranking.js';
import { KeptPairs } from '../../lib/jobs/evaluated/kept-pairs.js';
import { samplesSection } from '../../lib/jobs/report/samples-section.js';
import { readPng } from '../../lib/files/png/read.js';
import { thumbnail } from '../../lib/files/png/thumbnail.js';
import { encodeImage } from '../../lib/files/png/write.js';
import { CheckpointError } from '../../lib/errors.js';
import { Tensor } from '../../lib/runtime/native/tensor.js';
import { temporaryFolder } from '../helpers/tiny-run.js';

/** Images [B, 1, 2, 2], each of one brightness. */
const flat = (...levels: number[]) =>
  Tensor.from(Float32Array.from(levels.flatMap((level) => [level, level, level, level])), [levels.length, 1, 2, 2]);

/** A batch whose images after training are as bright as their reward, in hundredths, and before it half as bright. */
const pairsOf = (first: number, prompts: string[], rewards: number[]) => ({
  first,
  prompts,
  before: flat(...rewards.map((reward) => reward / 200)),
  after: flat(...rewards.map((reward) => reward / 100)),
  rewardsBefore: { reward: rewards.map((reward) => reward / 2), rewards: {} },
  rewardsAfter: { reward: rewards, rewards: {} },
});

describe('Ranking', () => {
  it('keeps the highest or the lowest values, of equal ones the earlier, and none that is not finite', () => {
    const [best, worst] = [new Ranking(2), new Ranking(2, true)];
    for (const [sample, value] of [3, NaN, 5, 5, -1, 5, Infinity].entries()) {
      best.offer(sample, value);
      worst.offer(sample, value);
    }
    expect(best.samples).toEqual([2, 3]);
    expect(worst.samples).toEqual([4, 0]);
    expect(new Ranking(0).offer(0, 1)).toBe(false);
  });
});

describe('KeptPairs', () => {
  it('holds the images of leading samples alone, however many come', async () => {
    const [ranking, kept] = [new Ranking(2), new KeptPairs()];
    for (let first = 0; first < 60; first += 3) {
      const values = [first, first + 1, first + 2];
      for (const value of values) ranking.offer(value, value);
      await kept.update(pairsOf(first, ['a', 'a', 'a'], values), [ranking]);
      expect(kept.pairs.size).toBeLessThanOrEqual(2);
    }
    expect([...kept.pairs.keys()].sort()).toEqual([58, 59]);
    // The image keeps its own four bytes, and not the memory of its whole batch.
    expect(kept.pairs.get(59)!.after!.data.buffer.byteLength).toBe(4);
  });
});

describe('SampleKeeper', () => {
  it('writes the rewards of all, and the best and the worst before and after from the same noise', async () => {
    const folder = temporaryFolder();
    const keeper = new SampleKeeper({ each: 1, prompts: 1 }, 6, 9n);
    await keeper.add(pairsOf(0, ['cat', 'dog', 'cat'], [30, 90, 50]));
    await keeper.add(pairsOf(3, ['dog', 'cat', 'dog'], [10, 70, 20]));
    await keeper.write(folder);
    expect(await readSamples(folder)).toEqual({
      seed: '9',
      prompts: ['cat', 'dog'],
      prompt: [0, 1, 0, 1, 0, 1],
      before: { reward: [15, 45, 25, 5, 35, 10], rewards: {} },
      after: { reward: [30, 90, 50, 10, 70, 20], rewards: {} },
      examples: {
        rewards: [{ name: 'reward', best: [1], worst: [3] }],
        prompts: [{ prompt: 0, best: 4, worst: 0 }],
      },
    });
    const kept = [0, 1, 3, 4].flatMap((sample) => [`sample-${sample}-after.png`, `sample-${sample}-before.png`]);
    expect(readdirSync(join(folder, 'examples')).sort()).toEqual(kept);
    const level = async (sample: number, when: 'before' | 'after') =>
      (await readPng(join(folder, exampleFile(sample, when)))).data[0]!;
    expect(await level(4, 'after')).toBeCloseTo(0.7, 2);
    expect(await level(4, 'before')).toBeCloseTo(0.35, 2);

    // A second evaluation leaves nothing of the first.
    const next = new SampleKeeper({ each: 0, prompts: 0 }, 6, 9n);
    await next.add(pairsOf(0, ['cat'], [1]));
    await next.write(folder);
    expect(existsSync(join(folder, 'examples'))).toBe(false);
  });

  it('ranks by each of several rewards, and never shows one sample as best and worst', async () => {
    const keeper = new SampleKeeper({ each: 9, prompts: 0 }, 4, 0n);
    const pairs = pairsOf(0, ['a', 'b', 'c', 'd'], [1, 2, 3, 4]);
    await keeper.add({
      ...pairs,
      rewardsAfter: { reward: [1, 2, 3, 4], rewards: { x: [4, 3, 2, 1], y: [0, NaN, 1, 0] } },
    });
    expect(keeper.samples.examples.rewards).toEqual([
      { name: 'reward', best: [3, 2], worst: [0, 1] },
      { name: 'x', best: [0, 1], worst: [3, 2] },
      { name: 'y', best: [2, 0], worst: [0, 3] },
    ]);
  });

  it('says in the report what an image is worth, and that one which is not finite has none', async () => {
    const folder = temporaryFolder();
    const keeper = new SampleKeeper({ each: 1, prompts: 0 }, 2, 0n);
    const pairs = pairsOf(0, ['<b>', 'y'], [80, 20]);
    await keeper.add({ ...pairs, before: flat(NaN, 0.1) });
    await keeper.write(folder);
    const html = await samplesSection([{ name: 'run', directory: folder }]);
    expect(html).toContain('<strong>40.00 → 80.00</strong> “&#60;b&#62;”, sample 0');
    expect(html).toMatch(/Sample 0, before training: .*ENOENT/);
    expect(html.match(/<img /g)).toHaveLength(3);
    expect(await samplesSection([{ name: 'none', directory: temporaryFolder() }])).toBe('');
  });
});

describe('evaluation-samples.json', () => {
  const samplesOf = (reward: number[]): EvaluatedSamples => ({
    seed: '1',
    prompts: ['a photo of a cat on a chair'],
    prompt: reward.map(() => 0),
    before: { reward, rewards: { r: reward } },
    after: { reward, rewards: { r: reward } },
    examples: { rewards: [], prompts: [] },
  });

  it('gives every number of single precision back to the bit, NaN for one that is not finite', async () => {
    const folder = temporaryFolder();
    const bits = Uint32Array.from({ length: 4000 }, (_, at) => Math.imul(at + 1, 2654435761));
    const values = Array.from(new Float32Array(bits.buffer));
    await writeSamples(folder, samplesOf(values));
    const read = (await readSamples(folder))!;
    const expected = values.map((value) => (Number.isFinite(value) ? value : NaN));
    expect(read.after.reward.every((value, at) => Object.is(value, expected[at]) || value === expected[at])).toBe(true);
  });

  it('stays small: 20 000 samples of one reward take less than two megabytes', async () => {
    const folder = temporaryFolder();
    const values = Array.from({ length: 20_000 }, (_, at) => Math.fround(Math.sin(at + 1)));
    await writeSamples(folder, samplesOf(values));
    expect(statSync(join(folder, samplesFile)).size).toBeLessThan(2e6);
  });

  it('is refused where it is cut short, or its columns are of other lengths', async () => {
    const folder = temporaryFolder();
    const path = join(folder, samplesFile);
    await writeSamples(folder, samplesOf([1, 2, 3]));
    const text = readFileSync(path, 'utf8');
    const broken = [
      text.slice(0, -20),
      '[]',
      text.replace('"prompt":[0,0,0]', '"prompt":[0,0]'),
      text.replace('"prompt":[0,0,0]', '"prompt":[0,0,1]'),
      text.replace('"format":1', '"format":2'),
    ];
    for (const each of broken) {
      expect(each).not.toBe(text);
      writeFileSync(path, each);
      await expect(readSamples(folder)).rejects.toThrow(CheckpointError);
    }
    expect(await readSamples(temporaryFolder())).toBeUndefined();
  });
});

describe('thumbnail', () => {
  it('averages squares of pixels, and the rest of the last column and row', async () => {
    const path = join(temporaryFolder(), 'x.png');
    writeFileSync(path, encodeImage({ width: 3, height: 2, channels: 1, data: Uint8Array.of(0, 100, 7, 100, 200, 9) }));
    const small = join(temporaryFolder(), 'small.png');
    writeFileSync(small, await thumbnail(path, 2));
    const { width, height, data } = await readPng(small);
    expect([width, height, Math.round(255 * data[0]!), Math.round(255 * data[1]!)]).toEqual([2, 1, 100, 8]);
    expect(await thumbnail(path, 3)).toEqual(readFileSync(path));
  });
});
