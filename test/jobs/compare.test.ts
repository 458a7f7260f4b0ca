import { existsSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

import { beforeAll, describe, expect, it } from 'vitest';

import { compare } from '../../lib/jobs/compare/compare.js';
import type { Comparison } from '../../lib/jobs/compare/comparison.js';
import type { CurvePoint, RunResult } from '../../lib/jobs/compare/results.js';
import { firstReached, meanCurve } from '../../lib/jobs/compare/curves.js';
import { speedUp } from '../../lib/jobs/compare/speed-up.js';
import { summarise } from '../../lib/jobs/compare/statistics.js';
import { chooseRate, atEdge } from '../../lib/jobs/compare/sweep.js';
import { renderSummary } from '../../lib/jobs/compare/summary.js';
import { speedUpSentences } from '../../lib/jobs/compare/sentences.js';
import { compareSchema } from '../../lib/jobs/compare/config.js';
import { readJson } from '../../lib/schema/json.js';
import { validate } from '../../lib/schema/validate.js';
import type { JobObserver } from '../../lib/jobs/progress.js';
import { eam } from '../helpers/command-line.js';
import { temporaryFolder, tinyAdapter, tinyModelDirectory } from '../helpers/tiny-run.js';

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
  return { contender, seed, learningRate: 1e-3, settings: {}, points, ...change };
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

const evil = 'B </script><b>"quoted"</b>';
let model: string;
beforeAll(async () => {
  model = await tinyModelDirectory();
});

const tinyConfig = (change: object = {}) => ({
  model,
  adapter: tinyAdapter,
  prompts: ['0', '1', '2'],
  rewards: [{ name: 'stroke-weight', scale: 4 }],
  contenders: [
    { name: 'EAM', algorithm: { name: 'eam', solver: 'euler', steps: 2, renoisings: 2, delta: 0.3 } },
    {
      name: evil,
      algorithm: { name: 'eam', solver: 'heun', steps: 3, renoisings: 1, delta: 0.3 },
      budget: { steps: 3 },
    },
  ],
  optimizer: { emaDecay: 0.5 },
  batch: 6,
  // Two steps of the rollout, one for the score, twice a forward and a backward: seven a sample.
  budget: { evaluations: 7 * 6 * 5 },
  seeds: [1, 2],
  sweep: { learningRates: [1e-3, 1e-2], budget: { steps: 2 }, seed: 9 },
  tracking: { points: 3, count: 6, steps: 2 },
  evaluation: { count: 8, steps: 2 },
  samples: { count: 6, columns: 3, steps: 2 },
  output: join(temporaryFolder(), 'comparison'),
  ...change,
});

const withoutSeconds = (path: string) =>
  JSON.parse(readFileSync(path, 'utf8'), (key, value) => (key === 'seconds' ? undefined : value)) as Comparison;

const configFile = (config: object): string => {
  const path = join(mkdtempSync(join(tmpdir(), 'eam-compare-')), 'config.json');
  writeFileSync(path, JSON.stringify(config));
  return path;
};

describe('eam compare', () => {
  const output = join(temporaryFolder(), 'comparison');

  it('writes a report, a table, the figures, and a directory for each run', async () => {
    const { code, stdout, stderr } = await eam(
      'compare',
      configFile(tinyConfig({ output })),
      '--set',
      'seeds=[7]',
      '--seeds',
      '2',
    );
    expect([code, stderr]).toEqual([0, expect.stringContaining('EAM, seed 2 (run 3 of 4): 5 steps')]);
    expect(readdirSync(output).sort()).toEqual([
      'compare.json',
      'config.json',
      'report.html',
      'runs',
      'summary.md',
      'sweep',
    ]);
    expect(readdirSync(join(output, 'sweep'))).toHaveLength(4);
    expect(readdirSync(join(output, 'runs'))).toEqual(expect.arrayContaining(['eam-seed-1', 'eam-seed-2']));
    expect(readdirSync(join(output, 'runs', 'eam-seed-1')).sort()).toEqual([
      'adapter_config.json',
      'adapter_model.safetensors',
      'metrics.jsonl',
      'result.json',
      'samples',
    ]);
    expect(stdout).toBe(readFileSync(join(output, 'summary.md'), 'utf8'));

    const comparison = JSON.parse(readFileSync(join(output, 'compare.json'), 'utf8')) as Comparison;
    const [first, second] = comparison.contenders;
    expect(first!.runs.map(({ seed }) => seed)).toEqual([1, 2]);
    expect(first!.runs[0]!.points.map(({ step }) => step)).toEqual([0, 2, 3, 5]);
    expect(second!.runs[0]!.points.map(({ step }) => step)).toEqual([0, 1, 2, 3]);
    const [start, , , end] = first!.runs[0]!.points;
    expect(start).toMatchObject({
      evaluations: 0,
      seconds: 0,
      drift: 0,
      reward: comparison.pretrained.tracking.reward.mean,
    });
    expect(end!.evaluations).toBe(end!.forwards + end!.vjps + end!.backwards);
    expect(end!.drift).toBeGreaterThan(0);
    expect(first!.runs[0]!.final!.reward.mean).not.toBe(first!.runs[1]!.final!.reward.mean);
    expect(comparison.sweep.filter(({ chosen }) => chosen)).toHaveLength(2);
    expect(comparison.sweep.find(({ chosen, contender }) => chosen && contender === 'EAM')!.learningRate).toBe(
      first!.learningRate,
    );
  });

  it('makes one offline page, in which no name becomes markup', async () => {
    const html = readFileSync(join(output, 'report.html'), 'utf8');
    expect(html).not.toMatch(/(src|href)="(?!data:)/);
    expect(html).not.toContain('<b>"quoted"');
    expect(html).toContain('B &#60;/script&#62;&#60;b&#62;');
    expect(html.match(/data:image\/png;base64,/g)).toHaveLength(3);
    expect([...html.matchAll(/<h2 id="([\w-]+)"/g)].map((match) => match[1])).toEqual([
      'findings',
      'curves',
      'summary',
      'speed-up',
      'sweep',
      'samples',
      'configuration',
    ]);
    const data = JSON.parse(/id="metrics">(.*?)<\/script>/s.exec(html)![1]!);
    expect(data.contenders.map(({ name }: { name: string }) => name)).toEqual(['EAM', evil]);
    expect(data.contenders[0].curve).toMatchObject({ steps: [0, 2, 3, 5] });
    expect(data.contenders[0].curve.measures.reward.low).toHaveLength(4);
    expect(data.charts.map(({ key }: { key: string }) => key)).toEqual(['reward', 'batchReward', 'drift']);
  });

  it('keeps the tables of summary.md rectangular', () => {
    const blocks = readFileSync(join(output, 'summary.md'), 'utf8')
      .split('\n\n')
      .filter((block) => block.startsWith('|'));
    expect(blocks.length).toBeGreaterThanOrEqual(2);
    for (const block of blocks)
      expect(
        new Set(
          block
            .trim()
            .split('\n')
            .map((row) => row.length),
        ).size,
      ).toBe(1);
  });

  it('takes over finished runs, makes the missing ones again, and comes to the same figures', async () => {
    const before = withoutSeconds(join(output, 'compare.json'));
    const untouched = readFileSync(join(output, 'runs', 'eam-seed-1', 'result.json'), 'utf8');
    rmSync(join(output, 'runs', 'eam-seed-2', 'result.json'));
    rmSync(join(output, 'compare.json'));
    const { code, stderr } = await eam('compare', output, '--resume');
    expect(code).toBe(0);
    expect(stderr.match(/finished before/g)).toHaveLength(7);
    expect(stderr).toContain('EAM, seed 2 (run 3 of 4): 5 steps');
    expect(readFileSync(join(output, 'runs', 'eam-seed-1', 'result.json'), 'utf8')).toBe(untouched);
    expect(stripRatios(withoutSeconds(join(output, 'compare.json')))).toEqual(stripRatios(before));
    expect(
      readFileSync(join(output, 'runs', 'eam-seed-2', 'metrics.jsonl'), 'utf8')
        .trim()
        .split('\n'),
    ).toHaveLength(5);
  });

  it('takes over no run of other settings', async () => {
    const { code, stderr } = await eam('compare', output, '--resume', '--set', 'batch=4', '--quiet');
    expect([code, stderr]).toEqual([
      2,
      expect.stringMatching(
        /^error: .*result\.json is of a run with other settings \(batch\); remove .* or take another --output\n$/,
      ),
    ]);
  });

  it('writes a whole run or none when it is interrupted', async () => {
    const other = tinyConfig({ sweep: undefined, seeds: [4], output: join(temporaryFolder(), 'stopped') });
    for (const contender of other.contenders) Object.assign(contender, { learningRate: 1e-3 });
    const interrupt = new AbortController();
    const notes: string[] = [];
    let steps = 0;
    const observer: JobObserver = {
      begin() {},
      advance: () => void (++steps === 7 && interrupt.abort(new Error('enough'))),
      note: (line) => notes.push(line),
      end() {},
    };
    await expect(compare(other, { signal: interrupt.signal, observer })).rejects.toThrow('enough');
    expect(notes.at(-1)).toBe(`stopped; finished runs are kept; to go on: eam compare ${other.output} --resume`);
    const runs = join(other.output, 'runs');
    expect(readdirSync(runs).filter((run) => existsSync(join(runs, run, 'result.json')))).toEqual(['eam-seed-4']);
    const { comparison } = await compare(other, { resume: true });
    expect(comparison.contenders.map(({ runs }) => runs.length)).toEqual([1, 1]);
    expect(renderSummary(comparison)).toContain('over 1 seed');
  });

  it('reports a contender whose runs burst', async () => {
    const other = tinyConfig({
      sweep: undefined,
      seeds: [4],
      budget: { steps: 8 },
      output: join(temporaryFolder(), 'burst'),
    });
    Object.assign(other.contenders[0]!, { learningRate: 1e30 });
    Object.assign(other.contenders[1]!, { learningRate: 1e-3 });
    const { comparison, summary } = await compare(other);
    expect(comparison.contenders[0]!.runs[0]!.failure).toMatch(/finite/);
    expect(comparison.contenders[0]!.runs[0]!.final).toBeUndefined();
    expect(summary).toContain('EAM with seed 4 ended early: ');
    expect(summary).toMatch(/runs finished .*0 of 1 .*1 of 1/);
  });
});

/** A ratio of seconds is no more reproducible than the seconds. */
function stripRatios(comparison: Comparison): unknown {
  return {
    ...comparison,
    speedUps: comparison.speedUps.map((pair) => ({
      ...pair,
      levels: pair.levels.map(({ reward, evaluations }) => ({ reward, evaluations })),
    })),
  };
}

describe('a comparison that is misconfigured', () => {
  const messageOf = (change: object): string => {
    try {
      validate(compareSchema, tinyConfig(change), 'config.json');
    } catch (error) {
      return (error as Error).message;
    }
    throw new Error('the configuration was accepted');
  };
  const contenders = (change: object) => [
    { name: 'A', algorithm: { name: 'eam' } },
    { name: 'B', algorithm: { name: 'eam' }, ...change },
  ];

  it.each([
    {
      change: { contenders: contenders({ algorithm: { name: 'eam', lambda: 2 } }) },
      message:
        'config.json: contenders[1].algorithm.lambda: expected 1, the reward scale of contenders[0]: others have ' +
        'another optimum, got 2',
    },
    {
      change: { contenders: contenders({ name: 'a!' }) },
      message:
        "config.json: contenders[1].name: expected a name unlike contenders[0]'s, whose folder it would share, " +
        'got "a!"',
    },
    {
      change: { contenders: contenders({ algorithm: { name: 'eam', C: 0 } }) },
      message: 'contenders[1].algorithm.C: expected a number above 0.5, got 0',
    },
    { change: { contenders: contenders({}).slice(1) }, message: 'contenders: expected an array of at least 2 items' },
    {
      change: { contenders: contenders({ budget: { steps: 2, evaluations: 3 } }) },
      message: 'contenders[1].budget: expected either "steps" or "evaluations", got {"steps":2,"evaluations":3}',
    },
    { change: { budget: {} }, message: 'budget: expected either "steps" or "evaluations", got {}' },
    {
      change: { sweep: undefined },
      message: 'contenders[0].learningRate: expected a number, or a "sweep" to find it, but it is missing',
    },
    { change: { seeds: [1, 2, 1] }, message: 'seeds: expected each seed once, got [1,2,1]' },
    { change: { seeds: 0 }, message: 'seeds: expected an array, got 0' },
    { change: { seeds: [0.5] }, message: 'seeds[0]: expected a whole number, got 0.5' },
    { change: { tracking: { conut: 3 } }, message: 'tracking.conut: unknown key; did you mean "count"?' },
    { change: { optimizer: { learningRate: 1 } }, message: 'optimizer.learningRate: unknown key' },
  ])('refuses $change by its path', ({ change, message }) => {
    expect(messageOf(change)).toContain(message);
  });
});

describe('the comparison in configs/', () => {
  it("compares both algorithms on the quickstart's task", async () => {
    const config = validate(
      compareSchema,
      await readJson('configs/compare-digits.json'),
      'configs/compare-digits.json',
    );
    const quickstart = (await readJson('configs/quickstart.json')) as Record<string, unknown>;
    expect(config.contenders.map(({ algorithm }) => algorithm.name)).toEqual(['eam', 'am']);
    for (const key of ['prompts', 'model'] as const) expect(config[key]).toEqual(quickstart[key]);
    expect(config.rewards).toMatchObject(quickstart['rewards'] as object[]);
    expect(config.contenders[0]!.algorithm).toMatchObject({
      ...(quickstart['algorithm'] as object),
      // The finer rollout that docs/comparison.md was measured with.
      solver: 'heun',
      steps: 4,
    });
    // With guidance there is no common optimum.
    for (const { algorithm } of config.contenders) expect(algorithm.guidance).toBe(1);
    expect(config.sweep!.learningRates.length).toBeGreaterThan(2);
    expect(config.seeds).not.toContain(config.sweep!.seed);
  });
});
