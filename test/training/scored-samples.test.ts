// Slices of a step's images: decoded, scored, their gradient taken back, and forgotten, before the next is decoded.
import { join } from 'node:path';

import { beforeAll, describe, expect, it } from 'vitest';

import { combine } from '../../lib/rewards/combine.js';
import { fromFunction, type FunctionOptions, type ImageArray } from '../../lib/rewards/from-function.js';
import type { Reward } from '../../lib/rewards/reward.js';
import { strokeWeight } from '../../lib/rewards/stroke-weight.js';
import { binding } from '../../lib/runtime/native/index.js';
import { adjointMatching, eam } from '../../lib/training/algorithms.js';
import type { StepMetrics } from '../../lib/training/metrics.js';
import { CurrentSamples } from '../../lib/training/samples.js';
import { floats, labels, relativeError, tinyLora, tinyModel } from '../helpers/tiny-model.js';
import { tinyModelDirectory, tinyRun } from '../helpers/tiny-run.js';

let directory: string;
beforeAll(async () => {
  directory = await tinyModelDirectory();
});

const settings = { steps: 2, renoisings: 2, solver: 'euler', delta: 0.3 } as const;

/** Two steps with a batch of 8; the weights that they come to. */
async function train(reward: Reward, change: object = {}, signal?: AbortSignal) {
  const { trainer, model } = await tinyRun(directory, undefined, {
    reward,
    algorithm: eam({ ...settings, ...change }),
  });
  try {
    const metrics: StepMetrics[] = [];
    for await (const step of trainer.run({ steps: 2, signal })) metrics.push(step);
    const weights: number[] = [];
    for (const tensor of Object.values(model.native.trainable())) weights.push(...(await floats(tensor)));
    return { metrics, weights };
  } finally {
    model.dispose();
  }
}

/** Σ x²/2 of each image, counted from 1; it notes the prompts of every call. */
function noted(
  name: string,
  calls: string[][],
  options: FunctionOptions = {},
  spoil?: (call: number) => unknown,
): Reward {
  const score = ({ data }: ImageArray, prompts: readonly string[]) => {
    calls.push([...prompts]);
    spoil?.(calls.length);
    const size = data.length / prompts.length;
    const values = prompts.map((_, image) =>
      data.subarray(image * size, (image + 1) * size).reduce((sum, x) => sum + (x * x) / 2, 0),
    );
    return { values, ...(options.differentiable !== false && { grad: data }) };
  };
  return fromFunction(name, score, options);
}

function fail(): never {
  throw new Error('no squares');
}

const sizes = (calls: readonly string[][]) => calls.map(({ length }) => length);
const sliced = { decodeSlice: 3 };

describe('a step whose images are scored in slices', () => {
  it.each([
    { what: 'EAM', change: {} },
    { what: 'EAM through the denoiser', change: { rewardThroughDenoiser: true } },
    { what: 'EAM with the plug-in terminal', change: { terminal: 'plugin' } },
    { what: 'EAM with pretrained endpoints', change: { endpoints: 'pretrained', endpointsPerPrompt: 6 } },
    { what: 'EAM with modes', change: { modes: { times: 2 } } },
  ])('comes to the same as one of all at once, with as many evaluations ($what)', async ({ change }) => {
    const reward = () => combine([[strokeWeight({ scale: 4 }), 1] as const, [noted('squares', []), 0.5] as const]);
    const whole = await train(reward(), change);
    const inSlices = await train(reward(), { ...change, ...sliced });
    expect(relativeError(inSlices.weights, whole.weights)).toBeLessThan(1e-5);
    for (const [step, { reward: mean, rewards, forwards, vjps, backwards, dropped }] of whole.metrics.entries()) {
      const found = inSlices.metrics[step]!;
      expect([found.forwards, found.vjps, found.backwards, found.dropped]).toEqual([
        forwards,
        vjps,
        backwards,
        dropped,
      ]);
      expect(relativeError([found.reward], [mean])).toBeLessThan(1e-6);
      expect(Object.keys(found.rewards!)).toEqual(Object.keys(rewards!));
    }
  });

  it('comes to the same to the bit where a network evaluation has as many samples', async () => {
    const whole = await train(strokeWeight({ scale: 4 }), { microBatch: 2 });
    const inSlices = await train(strokeWeight({ scale: 4 }), { microBatch: 2, decodeSlice: 2 });
    expect(inSlices.weights).toEqual(whole.weights);
    expect(inSlices.metrics.map(({ reward, loss, gradNorm }) => [reward, loss, gradNorm])).toEqual(
      whole.metrics.map(({ reward, loss, gradNorm }) => [reward, loss, gradNorm]),
    );
  });

  it('is one of Adjoint Matching, too', async () => {
    const weights = async (change: object) => {
      const algorithm = adjointMatching({ steps: 4, ...change });
      const { trainer, model } = await tinyRun(directory, undefined, { algorithm });
      for await (const _ of trainer.run({ steps: 1 }));
      const all: number[] = [];
      for (const tensor of Object.values(model.native.trainable())) all.push(...(await floats(tensor)));
      return all;
    };
    expect(relativeError(await weights(sliced), await weights({}))).toBeLessThan(1e-5);
  });

  it('gives a reward the images of each slice with their prompts', async () => {
    const [inSlices, whole]: [string[][], string[][]] = [[], []];
    const { metrics } = await train(noted('squares', inSlices), sliced);
    await train(noted('squares', whole));
    expect([sizes(inSlices), sizes(whole)]).toEqual([
      [3, 3, 2, 3, 3, 2],
      [8, 8],
    ]);
    expect(inSlices.slice(0, 3).flat()).toEqual(whole[0]);
    expect(metrics).toHaveLength(2);
  });

  it('gives all images at once to what reads the whole batch, has values alone or is watched', async () => {
    const calls = { squares: [], all: [], service: [], watched: [] } as Record<string, string[][]>;
    const parts = () =>
      combine([
        [noted('service', calls['service']!, { differentiable: false }), 0.25],
        [noted('squares', calls['squares']!), 1],
        [noted('all', calls['all']!, { wholeBatch: true }), 0.5],
        [noted('watched', calls['watched']!), 0],
      ]);
    const valued = { rewardThroughDenoiser: true, modes: { times: 2 } };
    const inSlices = await train(parts(), { ...sliced, ...valued });
    const found = Object.fromEntries(Object.entries(calls).map(([name, of]) => [name, sizes(of)]));
    expect(found).toEqual({ service: [8, 8], squares: [3, 3, 2, 3, 3, 2], all: [8, 8], watched: [8, 8] });
    const whole = await train(parts(), valued);
    expect(relativeError(inSlices.weights, whole.weights)).toBeLessThan(1e-5);
    expect(Object.keys(inSlices.metrics[0]!.rewards!)).toEqual(['service', 'squares', 'all', 'watched']);
    // The gradient of what reads the whole batch decodes, and denoises, each image again.
    const [again, once] = [inSlices.metrics[0]!, whole.metrics[0]!];
    expect([again.forwards - once.forwards, again.vjps - once.vjps]).toEqual([8, 8]);
  });

  it('drops the sample whose reward is not finite, whatever the slices', async () => {
    const spoiled = (): Reward => {
      let image = 0;
      return fromFunction('spoiled', ({ data }, prompts) => ({
        values: prompts.map(() => (image++ % 8 === 4 ? Number.NaN : 1)),
        grad: data,
      }));
    };
    const whole = await train(spoiled());
    const inSlices = await train(spoiled(), sliced);
    expect(inSlices.metrics.map(({ dropped }) => dropped)).toEqual([1, 1]);
    expect(whole.metrics.map(({ dropped }) => dropped)).toEqual([1, 1]);
    expect(relativeError(inSlices.weights, whole.weights)).toBeLessThan(1e-5);
  });

  it('stops between slices when it is aborted, and is undone', async () => {
    const controller = new AbortController();
    const calls: string[][] = [];
    const reward = noted('squares', calls, {}, (call) => call === 5 && controller.abort(new Error('enough')));
    await expect(train(reward, sliced, controller.signal)).rejects.toThrow('enough');
    expect(sizes(calls)).toEqual([3, 3, 2, 3, 3]);
  });

  it('names the reward that fails in a slice, and frees what the others took', async () => {
    let calls = 0;
    const failing = combine([
      [strokeWeight(), 1],
      [noted('squares', [], {}, () => ++calls % 2 === 0 && fail()), 1],
    ]);
    const native = new (binding().Eam)(await tinyModel(tinyLora), { ...settings, ...sliced });
    const prompts = ['0', '1', '2', '0', '1', '2', '0', '1'];
    const source = new CurrentSamples({ latentShape: [1, 8, 8] }, failing, native, 3n, true);
    const conditions = { conditioning: labels(...prompts.map(Number)), [Symbol.dispose]: () => {} };
    const request = { prompts, conditions, step: 0, signal: undefined };
    const fails = async () => {
      const samples = await source.rollout(request);
      await expect(source.score(samples, request)).rejects.toThrow('reward "squares" failed: no squares');
    };
    await fails();
    const before = binding().tensorMemory().bytes;
    await fails();
    expect(binding().tensorMemory().bytes).toBe(before);
  });
});

it('a checkpoint goes on with other slices, and with no other options', async () => {
  const { trainer, checkpoints } = await tinyRun(directory, undefined, { algorithm: eam({ ...settings, ...sliced }) });
  for await (const _ of trainer.run({ steps: 1 }));
  const resumed = async (change: object) =>
    (await tinyRun(directory, checkpoints, { algorithm: eam({ ...settings, ...change }) })).trainer.resume(
      join(checkpoints, 'step-1'),
    );
  await expect(resumed({})).resolves.toBeUndefined();
  await expect(resumed({ lambda: 7 })).rejects.toThrow(/algorithm/);
});

it('wholeBatch is a fact of a sum with such a part, and of no other', () => {
  const whole = noted('all', [], { wholeBatch: true });
  expect(whole.wholeBatch).toBe(true);
  expect(combine([[strokeWeight(), 1] as const, [whole, 1] as const]).wholeBatch).toBe(true);
  expect(combine([[strokeWeight(), 1]]).wholeBatch).toBeUndefined();
  expect(() => fromFunction('odd', () => ({ values: [] }), { wholeBatch: 1 as never })).toThrow(
    /fromFunction options: wholeBatch: expected a boolean, got 1/,
  );
});

it('joinImages puts batches into one, and refuses those of other sizes', async () => {
  const { Tensor, joinImages } = binding();
  const part = (rows: number, side: number) =>
    Tensor.from(new Float32Array(rows * side).fill(rows), [rows, 1, 1, side]);
  const joined = await joinImages([part(2, 2), part(1, 2)]);
  expect([joined.shape, await floats(joined)]).toEqual([
    [3, 1, 1, 2],
    [2, 2, 2, 2, 1, 1],
  ]);
  await expect(joinImages([part(2, 2), part(2, 3)])).rejects.toThrow(/parts\[1\]: expected images of the size/);
  await expect(joinImages([])).rejects.toThrow(/parts: expected at least one, got none/);
});
