import { existsSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

import { beforeAll, describe, expect, it } from 'vitest';

import { compare } from '../helpers/jobs.js';
import type { Comparison } from '../../lib/jobs/compare/comparison.js';
import { compareSchema } from '../../lib/jobs/compare/config.js';
import { readJson } from '../../lib/schema/json.js';
import { validate } from '../../lib/schema/validate.js';
import type { JobObserver } from '../../lib/jobs/progress.js';
import { eam } from '../helpers/command-line.js';
import { temporaryFolder, tinyAdapter, tinyModelDirectory } from '../helpers/tiny-run.js';

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
      'run.json',
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
      'equal-cost',
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
    const { comparison, summary } = await compare(other, { resume: true });
    expect(comparison.contenders.map(({ runs }) => runs.length)).toEqual([1, 1]);
    expect(summary).toContain('over 1 seed');
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
      change: { contenders: contenders({ algorithm: { name: 'eam', endpoints: 'pretrained' } }) },
      message: 'config.json: contenders[1].algorithm.endpoints: expected "current"',
    },
    {
      change: { contenders: contenders({ algorithm: { name: 'eam', lambda: 2 } }) },
      message:
        'config.json: contenders[1].algorithm.lambda: expected 1, the reward scale of contenders[0]: others have ' +
        'another optimum, got 2',
    },
    {
      change: { contenders: contenders({ bestOf: 4 }) },
      message: 'contenders[1]: expected either "algorithm" or "bestOf"',
    },
    {
      change: { contenders: contenders({ algorithm: undefined }) },
      message: 'contenders[1]: expected either "algorithm" or "bestOf"',
    },
    {
      change: { contenders: contenders({ algorithm: undefined, bestOf: 1 }) },
      message: 'contenders[1].bestOf: expected a number of at least 2, got 1',
    },
    {
      change: { contenders: contenders({ algorithm: undefined, bestOf: 4, learningRate: 1 }) },
      message: 'contenders[1].learningRate: expected none beside bestOf, which trains nothing, got 1',
    },
    {
      change: { contenders: [{ name: 'B', bestOf: 4 }, ...contenders({}).slice(1)] },
      message: 'contenders[0].bestOf: expected none of contenders[0]: it trains, the others are set against it, got 4',
    },
    {
      change: { contenders: contenders({ algorithm: { name: 'best-of-n', n: 8 } }) },
      message: 'contenders[1].algorithm.name: expected an algorithm that trains; best-of-N is a contender',
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

describe('the comparisons in configs/', () => {
  it('set EAM against the baselines under the same conditions', async () => {
    const path = 'configs/compare-baselines.json';
    const config = validate(compareSchema, await readJson(path), path);
    const digits = validate(
      compareSchema,
      await readJson('configs/compare-digits.json'),
      'configs/compare-digits.json',
    );
    expect(config.contenders.map(({ algorithm, bestOf }) => algorithm?.name ?? bestOf)).toEqual([
      'eam',
      'am',
      'refl',
      'draft',
      'draft',
      'alignprop',
      8,
    ]);
    for (const key of ['prompts', 'model', 'rewards', 'batch', 'optimizer'] as const)
      expect(config[key]).toEqual(digits[key]);
    expect(config.contenders.slice(0, 2)).toEqual(digits.contenders);
    expect(config.seeds).toHaveLength(5);
    expect(config.evaluation.judge).toBeDefined();
  });

  it("compares both algorithms on the quickstart's task", async () => {
    const config = validate(
      compareSchema,
      await readJson('configs/compare-digits.json'),
      'configs/compare-digits.json',
    );
    const quickstart = (await readJson('configs/quickstart.json')) as Record<string, unknown>;
    expect(config.contenders.map(({ algorithm }) => algorithm!.name)).toEqual(['eam', 'am']);
    for (const key of ['prompts', 'model'] as const) expect(config[key]).toEqual(quickstart[key]);
    expect(config.rewards).toMatchObject(quickstart['rewards'] as object[]);
    expect(config.contenders[0]!.algorithm).toMatchObject({
      ...(quickstart['algorithm'] as object),
      // The finer rollout that docs/comparison.md was measured with.
      solver: 'heun',
      steps: 4,
    });
    // With guidance there is no common optimum.
    for (const { algorithm } of config.contenders) expect(algorithm!.guidance).toBe(1);
    expect(config.sweep!.learningRates.length).toBeGreaterThan(2);
    expect(config.seeds).not.toContain(config.sweep!.seed);
  });
});
