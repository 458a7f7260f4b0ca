// The logs that a configuration names.
import { readdirSync, readFileSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';

import { describe, expect, it } from 'vitest';

import { contentsOf } from '../../lib/files/tensorboard/events.js';
import { recordsIn } from '../../lib/files/tensorboard/records.js';
import { scalarsOf, stepMetrics } from '../../lib/training/metric-names.js';
import { eam } from '../helpers/command-line.js';
import { configFile, model, outputOf } from '../helpers/finetune-config.js';
import { compare } from '../helpers/jobs.js';
import { temporaryFolder, tinyAdapter } from '../helpers/tiny-run.js';

const folderOf = (run: string) => join(run, 'tensorboard');
const eventsIn = (run: string) =>
  readdirSync(folderOf(run))
    .sort()
    .flatMap((name) => recordsIn(readFileSync(join(folderOf(run), name))).map(({ data }) => contentsOf(data)))
    .filter(({ tags }) => tags.length);
const stepsWith = (run: string, tag: string) =>
  eventsIn(run)
    .filter(({ tags }) => tags.includes(tag))
    .map(({ step }) => step);

describe('logging: ["tensorboard"]', () => {
  it('writes every metric, grid and text of a run once, however often it is resumed', async () => {
    const config = configFile({ logging: ['tensorboard'], samples: { every: 1, count: 1, steps: 1 }, steps: 2 });
    const run = outputOf(config);
    expect((await eam('finetune', config, '--quiet')).code).toBe(0);
    expect(stepsWith(run, 'reward/mean')).toEqual([1, 2]);
    expect(stepsWith(run, 'samples')).toEqual([0, 1, 2]);
    expect(stepsWith(run, 'configuration')).toEqual([0]);
    expect(stepsWith(run, 'prompts')).toEqual([0]);
    const logged = JSON.parse(readFileSync(join(run, 'metrics.jsonl'), 'utf8').split('\n')[0]!) as object;
    const first = eventsIn(run).find(({ tags, step }) => step === 1 && tags.includes('reward/mean'))!;
    expect(first.tags).toEqual(scalarsOf(logged).map(([name]) => name));
    // Nothing is left to do, then two steps more, then the first checkpoint again.
    expect((await eam('finetune', run, '--resume', '--quiet')).code).toBe(0);
    expect((await eam('finetune', run, '--resume', '--quiet', '--set', 'steps=4')).code).toBe(0);
    expect(stepsWith(run, 'reward/mean')).toEqual([1, 2, 3, 4]);
    expect(stepsWith(run, 'samples')).toEqual([0, 1, 2, 3, 4]);
    rmSync(join(run, 'checkpoints', 'step-4'), { recursive: true });
    expect((await eam('finetune', run, '--resume', '--quiet', '--set', 'steps=3')).code).toBe(0);
    expect(stepsWith(run, 'reward/mean')).toEqual([1, 2, 3]);
    expect(stepsWith(run, 'samples')).toEqual([0, 1, 2, 3]);
    expect(stepsWith(run, 'configuration')).toEqual([0]);
    expect((await eam('finetune', run, '--overwrite', '--quiet', '--set', 'steps=1')).code).toBe(0);
  });

  it('logs the evaluation at the last step', async () => {
    const config = configFile({ logging: ['jsonl', 'tensorboard'], steps: 1, evaluation: { count: 2, steps: 1 } });
    expect((await eam('finetune', config, '--quiet')).code).toBe(0);
    expect(stepsWith(outputOf(config), 'evaluation/after/reward/mean')).toEqual([1]);
  });

  it('is not the default', async () => {
    const config = configFile({ steps: 1 });
    await eam('finetune', config, '--quiet');
    expect(readdirSync(outputOf(config))).not.toContain('tensorboard');
  });

  it.each([
    { logging: ['tensorbord'], said: 'logging[0]: expected one of "jsonl", "tensorboard", "wandb", got "tensorbord"' },
    { logging: 'tensorboard', said: 'logging: expected an array, got "tensorboard"' },
    { logging: ['jsonl', 'jsonl'], said: 'logging: expected each log once, got ["jsonl","jsonl"]' },
  ])('is refused as $logging', async ({ logging, said }) => {
    const { code, stderr } = await eam('finetune', configFile({ logging }));
    expect([code, stderr]).toEqual([2, expect.stringContaining(said)]);
  });
});

describe('logging: ["tensorboard"] of eam compare', () => {
  const config = {
    model,
    adapter: tinyAdapter,
    prompts: ['0', '1'],
    rewards: [{ name: 'stroke-weight' }],
    contenders: ['A', 'B'].map((name, index) => ({
      name,
      algorithm: { name: 'eam', solver: 'euler', steps: 1 + index, renoisings: 1, delta: 0.3 },
      ...(index && { learningRate: 1e-3 }),
    })),
    batch: 2,
    budget: { steps: 2 },
    seeds: [1, 2],
    sweep: { learningRates: [1e-3], budget: { steps: 1 } },
    tracking: { points: 1, count: 2, steps: 1 },
    evaluation: { count: 2, steps: 1 },
    samples: { count: 1, columns: 1, steps: 1 },
    logging: ['tensorboard'],
  };

  it('logs every run as one of its own, however often the comparison is resumed', async () => {
    const output = join(temporaryFolder(), 'comparison');
    await compare({ ...config, output });
    const runs = ['a', 'b'].flatMap((name) => [1, 2].map((seed) => join(output, 'runs', `${name}-seed-${seed}`)));
    // A run without its result is one that was interrupted: this is the second run.
    rmSync(join(runs[1]!, 'result.json'));
    await compare({ ...config, output }, { resume: true });
    for (const run of runs) {
      expect(stepsWith(run, 'reward/mean')).toEqual([1, 2]);
      expect(stepsWith(run, 'tracking/reward')).toEqual([2]);
      expect(stepsWith(run, 'tracking/drift')).toEqual([2]);
      expect(stepsWith(run, 'samples')).toEqual([2]);
      expect(stepsWith(run, 'evaluation/reward/mean')).toEqual([2]);
      expect(stepsWith(run, 'configuration')).toEqual([0]);
    }
    const sweep = join(output, 'sweep', 'a-0.001');
    expect([stepsWith(sweep, 'reward/mean'), stepsWith(sweep, 'tracking/reward')]).toEqual([[1], [1]]);
  });
});

describe('the names of metrics', () => {
  it('are each told of once, in docs/logging.md, too', () => {
    const names = Object.values(stepMetrics).map(({ name }) => name);
    expect(new Set(names).size).toBe(names.length);
    const page = readFileSync(fileURLToPath(new URL('../../docs/logging.md', import.meta.url)), 'utf8').replaceAll(
      / +/g,
      ' ',
    );
    for (const [key, { name, text }] of Object.entries(stepMetrics))
      expect(page).toContain(`| \`${name}\` | \`${key}\` | ${text} |`);
  });

  it('leave out what is not finite, and the step', () => {
    expect(scalarsOf({ step: 3, loss: Number.NaN, reward: 1, skipped: true, rewards: { a: 2, b: null } })).toEqual([
      ['reward/mean', 1],
      ['training/skipped', 1],
      ['rewards/a', 2],
    ]);
  });
});
