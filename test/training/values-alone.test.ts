// Rewards without a gradient: which algorithms take them, what they are in a sum, and that they are raised.
import { beforeAll, describe, expect, it } from 'vitest';

import { ConfigError } from '../../lib/errors.js';
import { combine } from '../../lib/rewards/combine.js';
import { fromFunction } from '../../lib/rewards/from-function.js';
import { strokeWeight } from '../../lib/rewards/stroke-weight.js';
import { binding } from '../../lib/runtime/native/index.js';
import { adjointMatching, eam } from '../../lib/training/algorithms.js';
import type { StepMetrics } from '../../lib/training/metrics.js';
import type { Trainer } from '../../lib/training/trainer.js';
import type { TrainerOptions } from '../../lib/training/trainer-options.js';
import { floats } from '../helpers/tiny-model.js';
import { temporaryFolder, tinyModelDirectory, tinyRun } from '../helpers/tiny-run.js';

const options = { steps: 2, solver: 'euler', delta: 0.3, endpoints: 'pretrained' } as const;

let model: string;
beforeAll(async () => {
  model = await tinyModelDirectory();
});

const run = (change: Partial<TrainerOptions>) => tinyRun(model, temporaryFolder(), change);

async function train(trainer: Trainer, steps: number): Promise<StepMetrics[]> {
  const seen: StepMetrics[] = [];
  for await (const step of trainer.run({ steps })) seen.push(step);
  return seen;
}

describe('rewards that have values alone', () => {
  const values = fromFunction('votes', (_, prompts) => ({ values: prompts.map(() => 1) }), { differentiable: false });

  it.each([
    { name: 'plain eam', algorithm: eam({ steps: 2 }) },
    { name: 'am', algorithm: adjointMatching({ steps: 4 }) },
  ])('are refused by $name, with what to do', async ({ algorithm }) => {
    const both = combine([
      [strokeWeight(), 1],
      [values, 1],
    ]);
    for (const reward of [values, both]) {
      await expect(run({ reward, algorithm })).rejects.toThrow(ConfigError);
      await expect(run({ reward, algorithm })).rejects.toThrow(/"votes" has values alone.*modes=true.*pretrained/);
    }
  });

  it('count in a sum, whose gradient is that of the other parts', async () => {
    const images = binding().Tensor.from(new Float32Array(2 * 64).fill(0.25), [2, 1, 8, 8]);
    const prompts = ['0', '1'];
    const both = combine([
      [strokeWeight({ scale: 4 }), 3],
      [values, 5],
    ]);
    const one = await strokeWeight({ scale: 4 }).score(images, prompts, { gradient: true });
    const sum = await both.score(images, prompts, { gradient: true });
    expect(Array.from(sum.values)).toEqual(Array.from(one.values, (value) => Math.fround(3 * value + 5)));
    expect(await floats(sum.grad!)).toEqual((await floats(one.grad!)).map((value) => Math.fround(3 * value)));
    expect(both.differentiable).toBeUndefined();
    expect(combine([[values, 1]]).differentiable).toBe(false);
  });

  it('are raised on kept endpoints', async () => {
    // Black pixels, which nothing here can differentiate.
    const dark = fromFunction(
      'dark',
      ({ data, shape }) => {
        const size = data.length / shape[0]!;
        const values = new Float32Array(shape[0]!);
        for (const [index, x] of data.entries()) values[Math.floor(index / size)]! -= x > 0.5 ? 100 / size : 0;
        return { values };
      },
      { differentiable: false },
    );
    const many = eam({ ...options, endpointsPerPrompt: 256, lambda: 0.5, renoisings: 4 });
    const trainOn = async (algorithm: TrainerOptions['algorithm']) => {
      const { trainer } = await run({ reward: dark, algorithm, optimizer: { learningRate: 3e-2 }, batch: 24 });
      await train(trainer, 60);
      const sampled = await trainer.sample({ prompts: Array(120).fill('1'), seed: 5n, steps: 4 });
      const before = await trainer.sample({ prompts: Array(120).fill('1'), seed: 5n, steps: 4, weights: 'pretrained' });
      const mean = async (images: typeof sampled) => {
        const { values } = await dark.score(images, Array(120).fill('1'));
        return values.reduce((sum, value) => sum + value, 0) / 120;
      };
      return (await mean(sampled)) - (await mean(before));
    };
    expect(await trainOn(many)).toBeGreaterThan(0.5);
  });

  it('count in a sum on kept endpoints, which asks no part for its gradient', async () => {
    const votes = fromFunction('votes', (_, prompts) => ({ values: prompts.map(Number) }), { differentiable: false });
    const asked: (boolean | undefined)[] = [];
    const ink = strokeWeight({ scale: 4 });
    const inner = ink.score.bind(ink);
    ink.score = (images, prompts, settings) => {
      asked.push(settings?.gradient);
      return inner(images, prompts, settings);
    };
    const reward = combine([
      [ink, 1],
      [votes, 1],
    ]);
    const { trainer } = await run({
      reward,
      algorithm: eam({ ...options, endpointsPerPrompt: 10, lambda: 2, renoisings: 2 }),
    });
    const [first] = await train(trainer, 4);
    expect(asked).toEqual([false, false, false, false]);
    expect(first!.total.vjps).toBe(0);
    expect(first!.rewardGradientNorm).toBe(0);
  });
});
