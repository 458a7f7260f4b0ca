// Training towards a TorchScript, a JavaScript and a native reward at once.
import { mkdtempSync, readFileSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { beforeAll, describe, expect, it } from 'vitest';

import { eam } from '../../lib/training/algorithms.js';
import { ConfigError, NonFiniteError } from '../../lib/errors.js';
import { finetune } from '../helpers/jobs.js';
import type { LoggedMetrics } from '../../lib/jobs/finetune/watch.js';
import { combine } from '../../lib/rewards/combine.js';
import { fromFunction } from '../../lib/rewards/from-function.js';
import type { Reward } from '../../lib/rewards/reward.js';
import { strokeWeight } from '../../lib/rewards/stroke-weight.js';
import { torchScript } from '../../lib/rewards/torchscript.js';
import type { StepMetrics } from '../../lib/training/metrics.js';
import type { Trainer } from '../../lib/training/trainer.js';
import { temporaryFolder, tensorHashes, tinyAdapter, tinyModelDirectory, tinyRun } from '../helpers/tiny-run.js';
import { forward, writeTorchScript } from '../helpers/torchscript.js';

const folder = mkdtempSync(join(tmpdir(), 'eam-rewards-'));
// −mean((x − 0.8)²): bright pixels.
const script = writeTorchScript(
  join(folder, 'bright.pt'),
  forward('images: Tensor', 'torch.neg(torch.mean(torch.pow(torch.sub(images, 0.8), 2), [1, 2, 3]))'),
);
const weights = { bright: 2, smooth: 0.1, 'stroke-weight': 0.5 };

/** −mean x² of each image. */
const smooth = fromFunction('smooth', ({ data, shape }) => {
  const size = data.length / shape[0]!;
  const values = new Float64Array(shape[0]!);
  for (const [index, x] of data.entries()) values[Math.floor(index / size)]! -= (x * x) / size;
  return { values, grad: data.map((x) => (-2 * x) / size) };
});

const mixed = async (javascript: Reward = smooth): Promise<Reward> =>
  combine([
    [await torchScript(script), weights.bright],
    [javascript, weights.smooth],
    [strokeWeight({ scale: 4 }), weights['stroke-weight']],
  ]);

const mean = (values: readonly number[]) => values.reduce((sum, value) => sum + value, 0) / values.length;

async function train(trainer: Trainer, steps: number): Promise<StepMetrics[]> {
  const seen: StepMetrics[] = [];
  for await (const step of trainer.run({ steps })) seen.push(step);
  return seen;
}

let model: string;
beforeAll(async () => {
  model = await tinyModelDirectory();
});

describe('training towards rewards of three kinds', () => {
  it('raises their sum, and logs each raw and weighted', async () => {
    const algorithm = eam({ steps: 2, solver: 'euler', delta: 0.3, lambda: 1000 });
    const { trainer } = await tinyRun(model, temporaryFolder(), { reward: await mixed(), algorithm });
    const metrics = await train(trainer, 40);
    const rewards = metrics.map(({ reward }) => reward);
    expect(mean(rewards.slice(-8))).toBeGreaterThan(mean(rewards.slice(0, 8)) + 0.1);
    for (const { reward, rewards: raw, weightedRewards, nonFiniteRewards } of metrics) {
      expect(Object.keys(raw)).toEqual(Object.keys(weights));
      for (const [name, weight] of Object.entries(weights))
        expect(weightedRewards[name]).toBeCloseTo(weight * raw[name]!, 12);
      expect(Object.values(weightedRewards).reduce((sum, value) => sum + value, 0)).toBeCloseTo(reward, 5);
      expect(nonFiniteRewards).toBeUndefined();
    }
  });

  it('goes on from a checkpoint with the same bits', async () => {
    const whole = await tinyRun(model, temporaryFolder(), { reward: await mixed() });
    const uninterrupted = await train(whole.trainer, 6);
    const { trainer, checkpoints } = await tinyRun(model, temporaryFolder(), { reward: await mixed() });
    for await (const { step } of trainer.run({ steps: 6 })) if (step === 3) break;
    const resumed = await tinyRun(model, checkpoints, { reward: await mixed() });
    await resumed.trainer.resume(join(checkpoints, 'step-3'));
    const rest = await train(resumed.trainer, 6);
    expect(rest.map(({ rewards }) => rewards)).toEqual(uninterrupted.slice(3).map(({ rewards }) => rewards));
    expect(tensorHashes(checkpoints, 6)).toEqual(tensorHashes(whole.checkpoints, 6));
  });

  it('weights a single reward by 1', async () => {
    const { trainer } = await tinyRun(model, temporaryFolder(), { reward: smooth });
    const [first] = await train(trainer, 1);
    expect(first!.weightedRewards).toEqual({ smooth: first!.rewards['smooth'] });
    expect(first!.weightedRewards['smooth']).toBeCloseTo(first!.reward, 6);
  });

  it('drops the samples that one of them has no number for, and says which', async () => {
    const broken = (count: number): Reward => ({
      name: 'broken',
      async score(...args) {
        const scored = await smooth.score(...args);
        scored.values.fill(NaN, 0, count);
        return scored;
      },
    });
    const { trainer } = await tinyRun(model, temporaryFolder(), { reward: await mixed(broken(2)) });
    const [first] = await train(trainer, 1);
    expect(first).toMatchObject({ dropped: 2, nonFiniteRewards: { broken: 2 }, skipped: false });
    expect(Number.isFinite(first!.weightedRewards['broken'])).toBe(true);
    const failing = await tinyRun(model, temporaryFolder(), { reward: await mixed(broken(6)) });
    const error = (await train(failing.trainer, 10).catch((caught: unknown) => caught)) as Error;
    expect(error).toBeInstanceOf(NonFiniteError);
    expect(error.message).toMatch(
      /6 of 8 samples of the last one were dropped; of values that are not finite, "broken" gave 6$/,
    );
  });

  it('drops the samples for which the gradient of one of them has no number', async () => {
    const broken: Reward = {
      name: 'broken',
      async score(images, prompts) {
        const { values } = await smooth.score(images, prompts);
        const grad = new Float32Array(images.shape.reduce((product, size) => product * size, 1));
        grad[0] = Infinity;
        return fromFunction('', () => ({ values, grad })).score(images, prompts, { gradient: true });
      },
    };
    const { trainer } = await tinyRun(model, temporaryFolder(), { reward: await mixed(broken) });
    expect((await train(trainer, 1))[0]).toMatchObject({ dropped: 1, skipped: false });
  });
});

describe('a configuration of several rewards', () => {
  const module = join(folder, 'dim.mjs');
  writeFileSync(
    module,
    'export default ({ data }, prompts, { slope }) => ({ values: prompts.map(() => 0), grad: data.map(() => slope) });',
  );
  const config = {
    model: '',
    adapter: tinyAdapter,
    prompts: ['0', '1'],
    rewards: [
      { name: 'torchscript', file: script, weight: 2 },
      { name: 'module', file: module, weight: -1, options: { slope: 0.5 } },
    ],
    algorithm: { name: 'eam', steps: 2 },
    optimizer: { learningRate: 1e-2 },
    steps: 2,
    batch: 4,
    samples: { count: 2, steps: 2 },
  };

  it('may name a TorchScript file and a module; metrics.jsonl has both, raw and weighted', async () => {
    const { directory } = await finetune({ ...config, model, output: join(folder, 'run') });
    const lines = readFileSync(join(directory, 'metrics.jsonl'), 'utf8').trim().split('\n');
    expect(lines).toHaveLength(2);
    for (const line of lines) {
      const { rewards, weightedRewards } = JSON.parse(line) as LoggedMetrics;
      expect(Object.keys(rewards)).toEqual(['bright', 'dim']);
      expect(weightedRewards['bright']).toBeCloseTo(2 * rewards['bright']!, 12);
      expect(weightedRewards['dim']).toBeCloseTo(0, 12);
    }
  });

  it('is refused before anything is written where a file is missing', async () => {
    const output = join(folder, 'never');
    const rewards = [{ name: 'torchscript', file: join(folder, 'absent.pt') }];
    await expect(finetune({ ...config, model, rewards, output })).rejects.toThrow(ConfigError);
    await expect(finetune({ ...config, model, rewards, output })).rejects.toThrow(/absent\.pt: there is no such file/);
    expect(() => readFileSync(join(output, 'config.json'))).toThrow(/ENOENT/);
  });
});
