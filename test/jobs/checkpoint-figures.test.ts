// The figures of a table of checkpoints against closed forms, and how they are written.
import { describe, expect, it } from 'vitest';

import { figuresOf, pairedFigures } from '../../lib/jobs/evaluate/table/figures.js';
import { formatTable } from '../../lib/jobs/evaluate/table/format.js';
import type { CheckpointTable } from '../../lib/jobs/evaluate/table/table.js';

const part = (...reward: number[]) => ({ samples: { reward, rewards: { r: reward } } });

describe('pairedFigures', () => {
  it("gives the textbook's paired t interval for one pair a prompt", () => {
    const before = [1, 2, 3, 4, 5];
    const after = [1.2, 3.1, 3.3, 5.4, 6];
    const { mean, interval, pairs } = pairedFigures(before, after, ['a', 'b', 'c', 'd', 'e']);
    expect(pairs).toBe(5);
    expect(mean).toBeCloseTo(0.8, 12);
    // SciPy 1.17: scipy.stats.ttest_rel(after, before).confidence_interval().
    expect(interval![0]).toBeCloseTo(0.14886590611478234, 3);
    expect(interval![1]).toBeCloseTo(1.4511340938852177, 3);
  });

  it('takes pairs of one prompt from several seeds as one cluster, not as so much more evidence', () => {
    const prompts = ['a', 'b', 'c'];
    const one = pairedFigures([0, 0, 0], [1, 2, 6], prompts);
    const thrice = pairedFigures(Array(9).fill(0), [1, 2, 6, 1, 2, 6, 1, 2, 6], [...prompts, ...prompts, ...prompts]);
    // Seeds that agree change nothing: the spread between the three prompts is what is known. t(2) = 4.302653.
    const reach = 4.302653 * Math.sqrt((4 + 1 + 9) / 2 / 3);
    for (const { mean, interval } of [one, thrice]) {
      expect(mean).toBeCloseTo(3, 12);
      expect(interval![1] - interval![0]).toBeCloseTo(2 * reach, 4);
    }
    // Values that vary only within prompts leave the prompts' means alike, so that the interval has no width.
    const within = pairedFigures(Array(6).fill(0), [1, 1, 1, 3, 3, 3], [...prompts, ...prompts]);
    expect(within.interval).toEqual([2, 2]);
  });

  it('takes the pairs of a single prompt as they are', () => {
    // t(3) = 3.182446, s² = 5/3.
    const { interval } = pairedFigures([0, 0, 0, 0], [1, 2, 3, 4], ['a', 'a', 'a', 'a']);
    const reach = 3.182446 * Math.sqrt(5 / 3 / 4);
    expect(interval![1]).toBeCloseTo(2.5 + reach, 2);
  });

  it('counts a tie as half a win, and leaves out pairs without two finite values', () => {
    const before = [1, 1, 1, 1, NaN, 1];
    const after = [2, 1, 0, 3, 5, Infinity];
    const figures = pairedFigures(before, after, ['a', 'b', 'c', 'd', 'e', 'f']);
    expect(figures).toMatchObject({ pairs: 4, winRate: 2.5 / 4, ties: 1, mean: 0.5 });
    expect(pairedFigures([1, 1], [1, 1], ['a', 'b'])).toMatchObject({ winRate: 0.5, ties: 2, interval: [0, 0] });
    expect(pairedFigures([1], [2], ['a'])).toEqual({
      pairs: 1,
      prompts: 1,
      winRate: 1,
      ties: 0,
      mean: 1,
      interval: null,
    });
    expect(pairedFigures([NaN], [2], ['a'])).toEqual({
      pairs: 0,
      prompts: 0,
      winRate: null,
      ties: 0,
      mean: null,
      interval: null,
    });
  });
});

describe('figuresOf', () => {
  it('pairs each seed with the same seed of the pretrained model', () => {
    const base = [part(0, 10), part(100, 110)];
    const row = figuresOf({ name: 'x', parts: [part(1, 12), part(101, 112)] }, base, ['a', 'b'], true);
    // Without pairing, the change would vary by the 100 that lie between the two seeds.
    expect(row).toMatchObject({
      images: 4,
      rewards: { r: { mean: 56.5, change: { mean: 1.5, pairs: 4, winRate: 1 } } },
    });
    // The sums of the two prompts lie 1 to either side: √(2/1 · 2)/4 times t(1).
    expect(row.rewards['r']!.change!.interval![1]).toBeCloseTo(1.5 + 0.5 * 12.706205, 3);
  });

  it('has the weighted sum as a column of its own where a run was trained towards it', () => {
    const parts = [{ samples: { reward: [3], rewards: { a: [1], b: [2] } }, accuracy: 0.5, diversity: 2 }];
    const names = (isSum: boolean) => Object.keys(figuresOf({ name: 'x', parts }, undefined, ['p'], isSum).rewards);
    expect(names(true)).toEqual(['reward', 'a', 'b']);
    expect(names(false)).toEqual(['a', 'b']);
    expect(figuresOf({ name: 'x', parts }, undefined, ['p'], true)).toMatchObject({ accuracy: 0.5, diversity: 2 });
  });
});

describe('formatTable', () => {
  const figures = { mean: 0.3871, std: 0.02 };
  const interval: [number, number] = [-0.0012, 0.1992];
  const change = { pairs: 4, prompts: 2, mean: 0.099, interval, winRate: 0.75, ties: 0 };
  const table: CheckpointTable = {
    count: 2,
    seeds: [1, 2],
    prompts: 2,
    steps: 40,
    solver: 'euler',
    guidance: 3.5,
    rows: [
      { name: 'pretrained', images: 4, rewards: { 'a|b_c': { mean: 0.2881, std: 0.02 } } },
      {
        name: 'runs/x_1, "y" step 5',
        run: 'runs/x_1, "y"',
        step: 5,
        images: 4,
        rewards: { 'a|b_c': { ...figures, change } },
      },
    ],
  };

  it('writes text with what the figures are', () => {
    expect(formatTable(table, 'text').split('\n')).toEqual([
      '                        a|b_c                         change    wins',
      'pretrained            0.28810',
      'runs/x_1, "y" step 5  0.38710  +0.09900 [−0.00120, +0.19920]  75.0 %',
      '',
      '2 images from each of the seeds 1, 2 a model; 40 steps of euler, guidance 3.5',
      'change: mean difference to the pretrained model over pairs of images from the same noise, over all seeds, ' +
        "with its 95 % interval by Student's t from the spread between 2 prompts; of fewer than 30, it is rough",
      'wins: the share of pairs in which the checkpoint has the higher reward, a tie being half a win',
    ]);
  });

  it('writes Markdown, and escapes what would end a cell', () => {
    expect(formatTable(table, 'markdown').split('\n')).toEqual([
      '|                      |  a\\|b_c |                        change |   wins |',
      '|----------------------|--------:|------------------------------:|-------:|',
      '| pretrained           | 0.28810 |                               |        |',
      '| runs/x_1, "y" step 5 | 0.38710 | +0.09900 [−0.00120, +0.19920] | 75.0 % |',
    ]);
  });

  it('writes CSV with every digit, and quotes what needs it', () => {
    expect(formatTable(table, 'csv')).toBe(
      'name,run,step,reward,images,mean,std,change,low,high,pairs,win_rate,ties\n' +
        'pretrained,,,a|b_c,4,0.2881,0.02,,,,,,\n' +
        '"runs/x_1, ""y"" step 5","runs/x_1, ""y""",5,a|b_c,4,0.3871,0.02,0.099,-0.0012,0.1992,4,0.75,0',
    );
  });

  it("writes rows of LaTeX without a sign that is LaTeX's own", () => {
    expect(formatTable(table, 'latex')).toBe(
      '%  & a|b_c & change & wins\npretrained & 0.28810 &  &  \\\\\n' +
        'runs/x\\_1, "y" step 5 & 0.38710 & $+$0.09900 [$-$0.00120, $+$0.19920] & 75.0 \\% \\\\',
    );
  });
});
