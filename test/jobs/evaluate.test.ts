import { join, resolve } from 'node:path';

import { describe, expect, it } from 'vitest';

import { parseReward } from '../../lib/rewards/registry.js';
import { reachOf95 } from '../../lib/training/student.js';
import { summarize, summaryTable } from '../../lib/jobs/evaluate/summary.js';
import { eam } from '../helpers/command-line.js';
import { temporaryFolder, tinyModelDirectory } from '../helpers/tiny-run.js';
import { lines, promptsOf } from '../helpers/evaluation-files.js';

describe('eam evaluate --model', () => {
  it('scores several samples a prompt, the same from the same seed', async () => {
    const model = await tinyModelDirectory();
    const [out, again] = [join(temporaryFolder(), 'a.jsonl'), join(temporaryFolder(), 'b.jsonl')];
    const run = (file: string, batch: string) =>
      eam(
        'evaluate',
        '--model',
        model,
        '--prompts',
        promptsOf('1', '2'),
        '--reward',
        'stroke-weight',
        '--samples',
        '3',
        '--steps',
        '2',
        '--seed',
        '5',
        '--batch',
        batch,
        '--out',
        file,
        '--quiet',
      );
    const { code, stdout } = await run(out, '4');
    expect(code).toBe(0);
    expect(stdout).toMatch(
      /stroke-weight +6 +\S+ +\[\S+, \S+\] +\S+\n\nintervals: .* 2 prompts; of fewer than 30, they are rough\n/,
    );
    const samples = lines(out) as { prompt: string; sample: number; scores: Record<string, number> }[];
    expect(samples.map(({ prompt, sample }) => [prompt, sample])).toEqual([
      ['1', 0],
      ['1', 1],
      ['1', 2],
      ['2', 0],
      ['2', 1],
      ['2', 2],
    ]);
    await run(again, '6');
    expect(lines(again)).toEqual(
      samples.map((sample) => ({
        ...sample,
        scores: { 'stroke-weight': expect.closeTo(sample.scores['stroke-weight']!, 5) as number },
      })),
    );
  });
});

describe('the summary of an evaluation', () => {
  // From tables of Student's t at 97.5 %.
  it.each([
    { degrees: 1, quantile: 12.7062 },
    { degrees: 2, quantile: 4.30265 },
    { degrees: 3, quantile: 3.18245 },
    { degrees: 4, quantile: 2.77645 },
    { degrees: 9, quantile: 2.26216 },
    { degrees: 30, quantile: 2.04227 },
    { degrees: 199, quantile: 1.97196 },
    { degrees: 1e9, quantile: 1.95996 },
  ])("widens its interval for $degrees degrees of freedom by Student's quantile", ({ degrees, quantile }) => {
    expect(reachOf95(degrees) / quantile).toBeCloseTo(1, degrees === 3 ? 2 : 3);
  });

  it('has intervals from the spread between prompts, which hold for images that are alike', () => {
    const sample = (prompt: string, value: number | null) => ({ prompt, scores: { r: value } });
    const [alone] = summarize(['a', 'b', 'c', 'd'].map((prompt, index) => sample(prompt, index))).rewards;
    // t(3) · s / √n
    const reach = (reachOf95(3) * Math.sqrt(5 / 3)) / 2;
    expect(alone).toMatchObject({
      mean: 1.5,
      std: expect.closeTo(Math.sqrt(5 / 3), 10),
      interval: [expect.closeTo(1.5 - reach, 10), expect.closeTo(1.5 + reach, 10)],
    });
    // Ten copies of each say no more.
    const copies = summarize(
      ['a', 'b', 'c', 'd'].flatMap((prompt, index) => Array.from({ length: 10 }, () => sample(prompt, index))),
    ).rewards[0]!;
    expect(copies.interval![1]).toBeCloseTo(1.5 + reach, 10);
    // With one prompt the interval is over its images.
    expect(summarize([0, 1, 2, 3].map((value) => sample('a', value))).rewards[0]!.interval![1]).toBeCloseTo(
      1.5 + reach,
      10,
    );
  });

  it('says what it knows of a single image, and of several of one prompt', () => {
    const of = (...values: (number | null)[]) =>
      summarize(values.map((value) => ({ prompt: 'a', scores: { r: value } })));
    expect(of(2).rewards).toEqual([{ reward: 'r', images: 1, notFinite: 0, mean: 2, std: null, interval: null }]);
    expect(summaryTable(of(2))).toBe(
      'reward  images    mean  95 % interval  std\nr            1  2.0000              –    –\n\nno interval: a ' +
        'single image has no spread',
    );
    expect(of(2, null).rewards).toEqual([{ reward: 'r', images: 1, notFinite: 1, mean: 2, std: null, interval: null }]);
    expect(of(null, null).rewards).toEqual([
      { reward: 'r', images: 0, notFinite: 2, mean: null, std: null, interval: null },
    ]);
    expect(summaryTable(of(null, null))).toMatch(/^r +0 +– +– +– +2 not finite$/m);
    expect(summaryTable(of(1, 2, 3))).toMatch(
      /between 3 images of one prompt; they say nothing of other prompts; of fewer than 30, they are rough$/,
    );
  });

  it('leaves out and counts what is not finite', () => {
    const summary = summarize([1, null, 3].map((value, index) => ({ prompt: String(index), scores: { r: value } })));
    expect(summary.rewards[0]).toMatchObject({ images: 2, notFinite: 1, mean: 2 });
    expect(summaryTable(summary)).toMatch(/^r .* 1 not finite$/m);
  });
});

describe('the option --reward', () => {
  it('takes a name, a directory and settings, or JSON', () => {
    expect(parseReward('aesthetic=a dir,tower=b=c,slice=2,weight=-0.5')).toEqual({
      name: 'aesthetic',
      directory: resolve('a dir'),
      tower: resolve('b=c'),
      slice: 2,
      weight: -0.5,
    });
    expect(parseReward('torchscript=taste.pt')).toMatchObject({ name: 'torchscript', file: resolve('taste.pt') });
    expect(parseReward('{"name":"hpsv2","directory":"a,b","dtype":"bfloat16"}')).toMatchObject({
      directory: resolve('a,b'),
      dtype: 'bfloat16',
    });
    // Left out, its folder is where `eam fetch` puts it.
    expect(parseReward('pickscore').name).toBe('pickscore');
    expect(() => parseReward('pickscore=x,slize=1')).toThrow(/slize: unknown key; did you mean "slice"/);
    expect(() => parseReward('{"name":')).toThrow(/--reward {"name":/);
  });
});
