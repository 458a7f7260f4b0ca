// A published model is fine-tuned on two published rewards at once, from a configuration, and what it learnt is scored.
import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';

import { beforeAll, describe, expect, it } from 'vitest';

import { finetune } from '../helpers/jobs.js';
import type { LoggedMetrics } from '../../lib/jobs/finetune/watch.js';
import type { Evaluation } from '../../lib/training/evaluation.js';
import type { ScoreSummary } from '../../lib/jobs/evaluate/summary.js';
import { eam } from '../helpers/command-line.js';
import { rewardDirectory } from '../helpers/reward-directories.js';
import { tinySd3 } from '../helpers/sd3.js';
import { temporaryFolder } from '../helpers/tiny-run.js';

const prompts = ['a photo of a red fox in the snow', 'two astronauts playing chess'];
const rewards = [
  { name: 'hpsv2', directory: rewardDirectory('hpsv2'), weight: 10 },
  {
    name: 'aesthetic',
    directory: rewardDirectory('aesthetic'),
    tower: rewardDirectory('clipscore'),
    weight: 100,
    slice: 3,
  },
];

describe('a tiny Stable Diffusion 3.5 under HPSv2.1 and the aesthetic predictor', () => {
  let directory: string;
  let adapter: string;
  let metrics: LoggedMetrics[];
  let evaluation: Evaluation;
  beforeAll(async () => {
    const result = await finetune({
      model: tinySd3,
      textLength: 64,
      image: { width: 32, height: 32 },
      adapter: { rank: 8, alpha: 16 },
      prompts,
      rewards,
      algorithm: { name: 'eam', steps: 4, solver: 'euler', renoisings: 2, lambda: 1000, rewardGradientQuantile: 0.8 },
      optimizer: { learningRate: 2e-2 },
      steps: 20,
      batch: 8,
      samples: { count: 2, columns: 2, steps: 4 },
      evaluation: { count: 16, steps: 6 },
      output: join(temporaryFolder(), 'run'),
    });
    ({ directory, adapter } = result);
    evaluation = result.evaluation!;
    metrics = readFileSync(join(directory, 'metrics.jsonl'), 'utf8')
      .trimEnd()
      .split('\n')
      .map((line) => JSON.parse(line) as LoggedMetrics);
  });

  it('earns more of both, on the same noise', () => {
    const { before, after, gain } = evaluation;
    expect(gain).toBeGreaterThan(1);
    for (const name of ['hpsv2', 'aesthetic'])
      expect(after.rewards[name]!.mean).toBeGreaterThan(before.rewards[name]!.mean);
  });

  it('is logged with each reward raw and weighted, and with the gradients of the sum that were clipped', () => {
    for (const { reward, rewards: raw, weightedRewards } of metrics) {
      expect(weightedRewards['hpsv2']).toBeCloseTo(10 * raw['hpsv2']!, 6);
      expect(weightedRewards['aesthetic']).toBeCloseTo(100 * raw['aesthetic']!, 6);
      expect(reward).toBeCloseTo(weightedRewards['hpsv2']! + weightedRewards['aesthetic']!, 4);
    }
    const clipped = metrics.slice(5).reduce((sum, step) => sum + step.clipped, 0);
    expect(clipped).toBeGreaterThan(0);
    expect(clipped).toBeLessThan(0.5 * 8 * metrics.length);
  });

  it('is scored by eam evaluate, with its adapter above without', async () => {
    const file = join(temporaryFolder(), 'prompts.txt');
    writeFileSync(file, prompts.join('\n'));
    const mean = async (...args: string[]) => {
      const { code, stdout, stderr } = await eam(
        'evaluate',
        ...args,
        '--prompts',
        file,
        '--samples',
        '4',
        '--steps',
        '6',
        '--json',
        '--quiet',
        '--width',
        '32',
        '--height',
        '32',
        '--text-length',
        '64',
        '--reward',
        `hpsv2=${rewardDirectory('hpsv2')}`,
        '--reward',
        `aesthetic=${rewardDirectory('aesthetic')},tower=${rewardDirectory('clipscore')}`,
      );
      expect([code, stderr]).toEqual([0, '']);
      const summary = JSON.parse(stdout) as ScoreSummary;
      expect(summary).toMatchObject({ images: 8, prompts: 2, diversity: { features: 'hpsv2', prompts: 2 } });
      return summary.rewards.reduce(
        (sum, { mean: value, reward }) => sum + (reward === 'hpsv2' ? 10 : 100) * value!,
        0,
      );
    };
    expect(await mean('--model', tinySd3, '--adapter', adapter)).toBeGreaterThan(await mean('--model', tinySd3));
  });
});
