// The baselines as a run has them: configurations, the trainer, resuming, rewards, Stable Diffusion 3.5's network.
import { beforeAll, describe, expect, it } from 'vitest';

import { ConfigError } from '../../lib/errors.js';
import type { LoadModelOptions } from '../../lib/models/model.js';
import { loadModel } from '../../lib/models/registry.js';
import { fromFunction } from '../../lib/rewards/from-function.js';
import type { Reward } from '../../lib/rewards/reward.js';
import { strokeWeight } from '../../lib/rewards/stroke-weight.js';
import { binding } from '../../lib/runtime/native/index.js';
import type { DraftOptions } from '../../lib/runtime/native/options.generated.js';
import { validate } from '../../lib/schema/validate.js';
import type { Algorithm } from '../../lib/training/algorithm.js';
import { algorithmSchema, createAlgorithm } from '../../lib/training/algorithms.js';
import { alignProp, draft, refl } from '../../lib/training/backpropagation.js';
import { meanEvaluations } from '../../lib/training/evaluations.js';
import type { StepMetrics } from '../../lib/training/metrics.js';
import type { Trainer } from '../../lib/training/trainer.js';
import type { TrainerOptions } from '../../lib/training/trainer-options.js';
import { decode } from '../helpers/eam-iteration.js';
import { tinySd3 } from '../helpers/sd3.js';
import { normal, randomise, relativeError, takeGradients } from '../helpers/tiny-model.js';
import { temporaryFolder, tensorHashes, tinyModelDirectory, tinyRun } from '../helpers/tiny-run.js';

const baselines = {
  refl: refl({ steps: 4, finalFraction: 0.5 }),
  draft: draft({ steps: 3, lastSteps: 2 }),
  'draft, lower variance': draft({ steps: 3, renoisings: 2 }),
  alignprop: alignProp({ steps: 4 }),
};
const each = Object.entries(baselines).map(([title, algorithm]) => ({ title, algorithm }));

let directory: string;
beforeAll(async () => {
  directory = await tinyModelDirectory();
});

async function train(trainer: Trainer, steps: number): Promise<StepMetrics[]> {
  const seen: StepMetrics[] = [];
  for await (const metrics of trainer.run({ steps })) seen.push(metrics);
  return seen;
}

describe.each(each)('a run of $title', ({ algorithm }) => {
  const run = (checkpoints = temporaryFolder(), change: Partial<TrainerOptions> = {}) =>
    tinyRun(directory, checkpoints, { algorithm, ...change });

  it('raises the reward', async () => {
    const { trainer } = await run(undefined, { batch: 12 });
    const rewards = (await train(trainer, 25)).map(({ reward }) => reward);
    const mean = (values: readonly number[]) => values.reduce((sum, value) => sum + value, 0) / values.length;
    expect(mean(rewards.slice(-5))).toBeGreaterThan(mean(rewards.slice(0, 5)));
  });

  it('goes on from a checkpoint to the same weights, bit for bit', async () => {
    const whole = await run();
    await train(whole.trainer, 5);
    const part = await run();
    await train(part.trainer, 2);
    const rest = await run(part.checkpoints);
    await rest.trainer.resume(`${part.checkpoints}/step-2`);
    await train(rest.trainer, 5);
    expect(tensorHashes(part.checkpoints, 5)).toEqual(tensorHashes(whole.checkpoints, 5));
  });

  it('scores slices of images to the same weights, each with the prompt of its sample', async () => {
    const images = 1 + ((algorithm.options as DraftOptions).renoisings ?? 0);
    const inSlices = async (decodeSlice: number) => {
      const asked: string[][] = [];
      const reward: Reward = {
        ...strokeWeight(),
        score: (...args) => {
          asked.push([...args[1]]);
          return strokeWeight().score(...args);
        },
      };
      const sliced = createAlgorithm({ ...algorithm.options, name: algorithm.name, decodeSlice } as never);
      const { trainer } = await run(undefined, { algorithm: sliced, reward });
      const [metrics] = await train(trainer, 1);
      return { asked, metrics: metrics! };
    };
    const [whole, parts] = [await inSlices(0), await inSlices(3)];
    expect(whole.asked.map(({ length }) => length)).toEqual([8 * images]);
    expect(parts.asked.map(({ length }) => length)).toEqual([
      ...Array<number>(Math.floor((8 * images) / 3)).fill(3),
      ...((8 * images) % 3 ? [(8 * images) % 3] : []),
    ]);
    expect(parts.asked.flat()).toEqual(whole.asked.flat());
    const [first] = whole.asked;
    for (let r = 0; r < first!.length; r++) expect(first![r]).toBe(first![r % 8]);
    expect(parts.metrics.loss).toBeCloseTo(whole.metrics.loss, 5);
    expect(parts.metrics.gradNorm / whole.metrics.gradNorm).toBeCloseTo(1, 4);
    expect(parts.metrics).toMatchObject({ forwards: whole.metrics.forwards, backwards: whole.metrics.backwards });
  });

  it('refuses a reward that has values alone', async () => {
    const reward = fromFunction('votes', (_, prompts) => ({ values: prompts.map(() => 1) }), { differentiable: false });
    await expect(run(undefined, { reward })).rejects.toThrow(ConfigError);
    await expect(run(undefined, { reward })).rejects.toThrow(/"votes" has values alone.*modes=true/);
  });

  it('takes guidance, and counts its evaluations', async () => {
    const guided = createAlgorithm({ ...algorithm.options, name: algorithm.name, guidance: 2 } as never);
    const { trainer } = await run(undefined, { algorithm: guided });
    const { trainer: plain } = await run();
    const [[two], [one]] = [await train(trainer, 1), await train(plain, 1)];
    expect(two!.forwards).toBe(2 * one!.forwards);
    expect(two!.backwards).toBe(2 * one!.backwards);
  });

  it('costs on average what is said beforehand', async () => {
    const steps = 60;
    const { trainer } = await run();
    const { forwards, backwards } = (await train(trainer, steps)).at(-1)!.total;
    const said = meanEvaluations({ ...algorithm.options, name: algorithm.name } as never);
    // Two and a half deviations of the mean of a uniform draw.
    expect(Math.abs((forwards + backwards) / (steps * 8) / said - 1)).toBeLessThan(
      algorithm.name === 'draft' ? 1e-12 : 0.12,
    );
  });
});

describe("Stable Diffusion 3.5's network", () => {
  const gradientsOf = async (algorithm: Algorithm, options: LoadModelOptions) => {
    using model = await loadModel(tinySd3, {
      adapter: { rank: 2, alpha: 4 },
      size: { width: 16, height: 16 },
      textLength: 8,
      ...options,
    });
    await randomise(model.native, 'trainable', 0.1);
    const prompts = ['a fox', 'the moon'];
    await model.prepare(prompts);
    const native = algorithm.create(model);
    const rollout = await native.rollout({
      conditioning: await model.encode(prompts),
      shape: [2, ...model.latentShape],
      seed: 3n,
      step: 1,
      cancellation: new (binding().Cancellation)(),
    });
    const images = await decode(rollout);
    const upstream = await normal([...images.shape], 8n);
    const values = new Float32Array(images.shape[0]!);
    await native.accumulate(rollout, values, upstream, new (binding().Cancellation)());
    return Object.values(await takeGradients(model.native)).flat();
  };

  it.each(each)('has the gradients of $title with checkpointing as without', async ({ algorithm }) => {
    const plain = await gradientsOf(algorithm, { checkpointing: false });
    expect(Math.hypot(...plain)).toBeGreaterThan(0);
    expect(relativeError(await gradientsOf(algorithm, { checkpointing: true }), plain)).toBeLessThan(1e-5);
  });

  it.each(each)('has nearly those gradients of $title in bfloat16', async ({ algorithm }) => {
    const [exact, rounded] = [await gradientsOf(algorithm, {}), await gradientsOf(algorithm, { dtype: 'bfloat16' })];
    const product = exact.reduce((sum, value, i) => sum + value * rounded[i]!, 0);
    expect(product / Math.hypot(...exact) / Math.hypot(...rounded)).toBeGreaterThan(0.98);
    expect(Math.hypot(...rounded) / Math.hypot(...exact)).toBeCloseTo(1, 1);
  });
});

describe('a configuration of a baseline', () => {
  const messageOf = (value: object): string => {
    try {
      validate(algorithmSchema, value, 'config.json');
    } catch (error) {
      return (error as Error).message;
    }
    throw new Error('the configuration was accepted');
  };

  it('has the defaults of the papers where it says nothing', () => {
    expect(refl().options).toMatchObject({ solver: 'euler', steps: 20, finalFraction: 0.25, guidance: 1 });
    expect(draft().options).toMatchObject({ lastSteps: 1, renoisings: 0 });
    expect(alignProp().options).toMatchObject({ fewestSteps: 1 });
    expect(validate(algorithmSchema, draft({ steps: 3 }), 'config.json')).toEqual({
      name: 'draft',
      ...draft({ steps: 3 }).options,
    });
  });

  it.each([
    { value: { name: 'refl', finalFraction: 2 }, message: 'finalFraction: expected a number of at most 1, got 2' },
    { value: { name: 'refl', lastSteps: 2 }, message: 'lastSteps: unknown key' },
    { value: { name: 'draft', lastStep: 2 }, message: 'lastStep: unknown key; did you mean "lastSteps"?' },
    {
      value: { name: 'draft', steps: 4, lastSteps: 5 },
      message: "lastSteps: expected at most the rollout's 4 steps, got 5",
    },
    {
      value: { name: 'draft', renoisings: 2, lastSteps: 2 },
      message: 'lastSteps: expected 1 with renoisings, which are of the last step alone, got 2',
    },
    { value: { name: 'draft', renoisings: 1.5 }, message: 'renoisings: expected a whole number, got 1.5' },
    {
      value: { name: 'alignprop', steps: 4, mostSteps: 5 },
      message: "mostSteps: expected at most the rollout's 4 steps, got 5",
    },
    {
      value: { name: 'alignprop', fewestSteps: 3, mostSteps: 2 },
      message: 'fewestSteps: expected at most 2, the most steps, got 3',
    },
    { value: { name: 'alignprop', solver: 'rk4' }, message: 'solver: expected one of "euler"' },
    {
      value: { name: 'best-of-n', n: 8 },
      message: 'name: expected an algorithm that trains; best-of-N is a contender of `eam compare`',
    },
    { value: { name: 'dratf' }, message: 'name: expected one of "eam", "am", "refl", "draft", "alignprop"' },
  ])('is refused with $value', ({ value, message }) => {
    expect(messageOf(value)).toContain(message);
  });
});
