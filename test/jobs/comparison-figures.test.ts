// The figures of a comparison from runs that are written here.
import { describe, expect, it } from 'vitest';

import type { CurvePoint, RunResult } from '../../lib/jobs/compare/results.js';
import { firstReached, meanCurve } from '../../lib/jobs/compare/curves.js';
import { speedUp } from '../../lib/jobs/compare/speed-up.js';
import { summarise } from '../../lib/jobs/compare/statistics.js';
import { chooseRate, atEdge } from '../../lib/jobs/compare/sweep.js';
import { speedUpSentences } from '../../lib/jobs/compare/sentences.js';

/** A run measured at steps 0, 1, 2 …, whose steps cost so many evaluations and seconds. */
function runOf(
  contender: string,
  seed: number,
  rewards: number[],
  cost = { evaluations: 10, seconds: 1 },
  change: Partial<RunResult> = {},
): RunResult {
  const points = rewards.map(
    (reward, step): CurvePoint => ({
      step,
      forwards: step * cost.evaluations,
      vjps: 0,
      backwards: 0,
      evaluations: step * cost.evaluations,
      seconds: step * cost.seconds,
      reward,
      rewards: { a: reward, b: -reward },
      drift: step / 10,
      accuracy: 1 - step / 100,
      ...(step > 0 && { batchReward: reward - 1 }),
    }),
  );
  return { contender, seed, learningRate: 1e-3, settings: {}, belongsTo: {}, points, ...change };
}

describe('firstReached', () => {
  it('interpolates between measurements and takes the first crossing', () => {
    expect(firstReached([0, 10, 20, 30], [0, 2, 1, 4], 1)).toBeCloseTo(5);
    expect(firstReached([0, 10, 20, 30], [0, 2, 1, 4], 3)).toBeCloseTo(20 + 20 / 3);
  });

  it('finds a level at the start, at a measurement, or never', () => {
    expect(firstReached([0, 10], [1, 2], 0.5)).toBe(0);
    expect(firstReached([0, 10], [1, 2], 2)).toBe(10);
    expect(firstReached([0, 10], [1, 2], 2.01)).toBeUndefined();
    expect(firstReached([0, 10], [1, NaN], 2)).toBeUndefined();
  });
});

describe('statistics over seeds', () => {
  it('take the sample standard deviation', () => {
    expect(summarise([1, 2, 3])).toEqual({ mean: 2, std: 1, low: 1, high: 3, count: 3 });
    expect(summarise([4])).toEqual({ mean: 4, std: 0, low: 4, high: 4, count: 1 });
    expect(summarise([])).toBeUndefined();
  });

  it('give a mean and a band at each measurement, as far as the shortest run goes', () => {
    const curve = meanCurve([
      runOf('A', 1, [0, 1, 2], { evaluations: 10, seconds: 1 }),
      runOf('A', 2, [0, 3, 8, 9], { evaluations: 10, seconds: 3 }),
    ]);
    expect(curve).toMatchObject({ steps: [0, 1, 2], evaluations: [0, 10, 20], seconds: [0, 2, 4] });
    expect(curve.measures['reward']).toEqual({ mean: [0, 2, 5], low: [0, 1, 2], high: [0, 3, 8] });
    expect(curve.measures['batchReward']).toEqual({ mean: [NaN, 1, 4], low: [NaN, 0, 1], high: [NaN, 2, 7] });
    expect(Object.keys(curve.measures)).toEqual([
      'reward',
      'batchReward',
      'accuracy',
      'drift',
      'reward: a',
      'reward: b',
    ]);
  });
});

describe('speed-up at equal reward', () => {
  const fast = [
    runOf('A', 1, [0, 2, 4], { evaluations: 10, seconds: 2 }),
    runOf('A', 2, [0, 1, 2], { evaluations: 10, seconds: 2 }),
  ];
  const slow = [
    runOf('B', 1, [0, 1, 3], { evaluations: 40, seconds: 2 }),
    runOf('B', 2, [0, 1, 3], { evaluations: 40, seconds: 2 }),
  ];

  it('is the ratio of costs on the mean curves, and that of each pair of seeds', () => {
    const { levels, headline, best } = speedUp(fast, slow);
    // Both means are straight or reach 3 at the last step: A's after 20 evaluations, B's after 80.
    expect(levels).toHaveLength(8);
    expect(levels.at(-1)).toMatchObject({
      reward: 3,
      reachedByAll: false,
      evaluations: { first: 20, other: 80, ratio: 4 },
      steps: { ratio: 1 },
    });
    // Run A2 ends at 2, the lowest of all: A reaches 2 after 4/3 steps in the mean, B after 3/2.
    expect(headline).toMatchObject({ reward: 2, reachedByAll: true });
    expect(headline!.evaluations.ratio).toBeCloseTo(60 / (40 / 3));
    expect(headline!.steps.ratio).toBeCloseTo(1.5 / (4 / 3));
    expect(headline!.evaluations.pairs).toMatchObject({ low: 3, high: 6, mean: 4.5, count: 2 });
    expect(best).toEqual({ first: 3, other: 3 });
  });

  it('counts only pairs in which both reached the level', () => {
    const { levels } = speedUp(fast, slow);
    expect(levels.at(-1)!.evaluations.pairs).toMatchObject({ count: 1, mean: 80 / 15 });
  });

  it('says so where the first contender loses', () => {
    const pair = speedUp(slow, fast);
    expect(pair.headline!.evaluations.ratio).toBeLessThan(1);
    const [sentence] = speedUpSentences(pair, 2);
    expect(sentence).toMatch(
      new RegExp(
        String.raw`^To 2\.000, the highest reward that every run of both reached, B needs 4\.5× more network ` +
          String.raw`evaluations \(seed by seed 3\.0× to 6\.0×\)`,
      ),
    );
    expect(sentence).toMatch(/than A\.$/);
  });

  it('is not stated where a contender never rises, or one of its seeds does not', () => {
    const stuck = [runOf('C', 1, [0, -1, -2]), runOf('C', 2, [0, -1, 0])];
    const never = speedUp(fast, stuck);
    expect(never.headline).toBeUndefined();
    expect(never.levels).toEqual([]);
    expect(speedUpSentences(never, 2)).toEqual([
      "No reward above the pretrained model's was reached by every run of A and C: there is no speed-up to state " +
        'for all seeds.',
      "Within its budget A's mean came to 3.000; C's never went beyond 0.000.",
    ]);
    const half = speedUp(fast, [runOf('D', 1, [0, 4, 4]), runOf('D', 2, [0, -1, -1])]);
    expect(half.headline).toBeUndefined();
    expect(half.levels.at(-1)!.evaluations.pairs!.count).toBe(1);
  });
});

describe('the choice of a learning rate', () => {
  const limits = { accuracy: 1, accuracyLoss: 0.05 };
  const at = (learningRate: number, rewards: number[], change: Partial<RunResult> = {}) =>
    runOf('A', 1, rewards, undefined, { learningRate, ...change });

  it('takes the highest reward at the end, of equals the first', () => {
    const entries = chooseRate([at(1e-4, [0, 1]), at(1e-3, [0, 3]), at(2e-3, [0, 3]), at(1e-2, [0, 2])], limits);
    expect(entries.filter(({ chosen }) => chosen).map(({ learningRate }) => learningRate)).toEqual([1e-3]);
    expect(atEdge(entries)).toBeUndefined();
  });

  it('passes over rates that failed, are not finite or harm the images', () => {
    const harmed = at(3e-3, [0, 8]);
    harmed.points[1]!.accuracy = 0.9;
    const entries = chooseRate(
      [at(1e-3, [0, 1]), at(2e-3, [0, NaN]), harmed, at(4e-3, [0, 9], { failure: 'not finite for 5 steps' })],
      limits,
    );
    expect(entries.map(({ chosen, rejected }) => (chosen ? 'chosen' : rejected))).toEqual([
      'chosen',
      'the reward is not finite',
      'the judge recognises 90.0 %, 100.0 % before',
      'not finite for 5 steps',
    ]);
    expect(entries[3]!.reward).toBeUndefined();
    expect(atEdge(entries)).toBe('smallest');
  });

  it('says why where no rate can be taken', () => {
    expect(() => chooseRate([at(1, [0, 1], { failure: 'it burst' })], limits)).toThrow(
      /no learning rate of the sweep suits "A".*\n {2}1: it burst/,
    );
  });
});
