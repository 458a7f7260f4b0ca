// `endpoints: 'pretrained'`: endpoints that are drawn and scored once, and taken by weight.
import { appendFileSync, existsSync, readdirSync, rmSync, truncateSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';

import { beforeAll, describe, expect, it } from 'vitest';

import { loadTensors } from '../../lib/files/safetensors.js';
import { createRewards } from '../../lib/rewards/registry.js';
import type { Reward } from '../../lib/rewards/reward.js';
import { strokeWeight } from '../../lib/rewards/stroke-weight.js';
import { binding } from '../../lib/runtime/native/index.js';
import type { NativeRollout } from '../../lib/runtime/native/binding.js';
import { eam } from '../../lib/training/algorithms.js';
import type { StepMetrics } from '../../lib/training/metrics.js';
import type { Trainer, PrepareRunOptions } from '../../lib/training/trainer.js';
import type { TrainerOptions } from '../../lib/training/trainer-options.js';
import { labels, normal, tinyLora, tinyModel } from '../helpers/tiny-model.js';
import { temporaryFolder, tensorHashes, tinyModelDirectory, tinyRun } from '../helpers/tiny-run.js';

const options = {
  steps: 2,
  renoisings: 2,
  solver: 'euler',
  delta: 0.3,
  endpoints: 'pretrained',
  endpointsPerPrompt: 10,
  lambda: 2,
} as const;
const steps = 4;

let model: string;
beforeAll(async () => {
  model = await tinyModelDirectory();
});

/** One that configurations can name, so that its endpoints are shared; counts how often it scores. */
async function counted(): Promise<{ reward: Reward; calls: () => number }> {
  const reward = await createRewards([{ name: 'stroke-weight', weight: 1, scale: 4 }], 'cpu');
  let calls = 0;
  const score = reward.score.bind(reward);
  reward.score = (...args) => {
    calls++;
    return score(...args);
  };
  return { reward, calls: () => calls };
}

/** The same in an object of the test's own, which nobody else can tell from another. */
const wrapped = (): Reward => {
  const inner = strokeWeight({ scale: 4 });
  return { name: 'mine', score: (...args) => inner.score(...args) };
};

async function train(trainer: Trainer, total = steps, prepare?: PrepareRunOptions): Promise<StepMetrics[]> {
  if (prepare) await trainer.prepare(prepare);
  const seen: StepMetrics[] = [];
  for await (const step of trainer.run({ steps: total })) seen.push(step);
  return seen;
}

const run = (change: Partial<TrainerOptions> & { reward?: Reward }, checkpoints = temporaryFolder()) =>
  tinyRun(model, checkpoints, { algorithm: eam(options), ...change });

const filesOf = (directory: string): string[] => {
  const [identity] = readdirSync(directory);
  return readdirSync(join(directory, identity!)).map((name) => join(directory, identity!, name));
};

describe('a trainer with pretrained endpoints', () => {
  it('draws and scores them once, and counts what that took', async () => {
    const directory = temporaryFolder();
    const { reward, calls } = await counted();
    const { trainer } = await run({ reward, endpointsDirectory: directory });
    const notes: string[] = [];
    const progress: number[] = [];
    const metrics = await train(trainer, steps, {
      onNote: (line) => notes.push(line),
      onEndpoint: (done, total) => progress.push(done / total),
    });
    // 3 prompts × 10 in batches of 8: the last has 6.
    expect(calls()).toBe(4);
    expect(notes).toEqual(['drawing 30 endpoints of the pretrained model']);
    expect(progress).toEqual([8 / 30, 16 / 30, 24 / 30, 1]);
    const [first] = metrics;
    expect([first!.forwards, first!.vjps, first!.backwards]).toEqual([8 * 2, 0, 8 * 2]);
    // Two Euler steps and the velocity at the endpoint.
    expect(first!.total).toMatchObject({ forwards: 30 * 3 + 16, vjps: 0, backwards: 16 });
    expect(first!.effectiveShare).toBeGreaterThan(0);
    expect(first!.effectiveShare).toBeLessThanOrEqual(1);
    expect([...trainer.effectiveShares!.keys()].sort()).toEqual(['0', '1', '2']);
    expect(
      filesOf(directory)
        .map((path) => path.split('/').at(-1))
        .sort(),
    ).toEqual(['endpoints.safetensors', 'scores.jsonl']);
  });

  it('stores what the pretrained model draws, its velocity there and the gradient', async () => {
    const directory = temporaryFolder();
    const { trainer, model: loaded } = await run({ reward: (await counted()).reward, endpointsDirectory: directory });
    await trainer.prepare();
    const file = filesOf(directory).find((path) => path.endsWith('.safetensors'))!;
    const tensors = await loadTensors(file);
    const { endpoint, velocity, rewardGradient } = tensors as Record<string, (typeof tensors)[string]>;
    for (const tensor of [endpoint!, velocity!, rewardGradient!]) expect(tensor.shape).toEqual([30, 1, 8, 8]);
    // Rows 10 to 15 are the prompt "1", rows 8 to 15 one batch: step 1 of the streams of noise.
    const conditioning = await loaded.encode(['0', '0', '1', '1', '1', '1', '1', '1']);
    const expected = await loaded.native.velocity(
      await rows(endpoint!, 8, 16),
      new Float32Array(8).fill(0.7),
      conditioning,
      true,
    );
    expect(await numbers(await rows(velocity!, 8, 16))).toEqual(await numbers(expected));
  });

  it('is the same whenever it is repeated, with its own endpoints or those of another run', async () => {
    const directory = temporaryFolder();
    const first = await run({ reward: (await counted()).reward, endpointsDirectory: directory });
    const metrics = await train(first.trainer);
    const { reward, calls } = await counted();
    const second = await run({ reward, endpointsDirectory: directory });
    const notes: string[] = [];
    const again = await train(second.trainer, steps, { onNote: (line) => notes.push(line) });
    expect(calls()).toBe(0);
    expect(notes).toEqual([]);
    expect(tensorHashes(second.checkpoints, steps)).toEqual(tensorHashes(first.checkpoints, steps));
    expect(again.map(({ loss }) => loss)).toEqual(metrics.map(({ loss }) => loss));
    expect(again[0]!.total.forwards).toBe(metrics[0]!.total.forwards);
    const own = await run({ reward: wrapped(), endpointsDirectory: directory });
    await train(own.trainer);
    expect(tensorHashes(own.checkpoints, steps)).toEqual(tensorHashes(first.checkpoints, steps));
    expect(readdirSync(directory)).toHaveLength(1);
  });

  it('shares endpoints between strengths of the tilt', async () => {
    const directory = temporaryFolder();
    const { reward, calls } = await counted();
    const shares: number[] = [];
    for (const lambda of [0, 1, 20]) {
      const { trainer } = await run({ reward, endpointsDirectory: directory, algorithm: eam({ ...options, lambda }) });
      await trainer.prepare();
      shares.push(trainer.effectiveShares!.get('0')!);
    }
    expect(calls()).toBe(4);
    expect(shares[0]).toBe(1);
    expect(shares[1]).toBeLessThan(1);
    expect(shares[2]).toBeLessThan(shares[1]!);
  });

  it.each([
    { what: 'another seed', change: { seed: 8 } },
    { what: 'other prompts', change: { prompts: ['0', '1'] } },
    { what: 'another δ', change: { algorithm: eam({ ...options, delta: 0.2 }) } },
    { what: 'more of them', change: { algorithm: eam({ ...options, endpointsPerPrompt: 11 }) } },
    {
      what: 'a value-only twin',
      change: { reward: { ...strokeWeight({ scale: 4 }), differentiable: false } as Reward },
    },
  ])('does not take those of $what', async ({ change }) => {
    const directory = temporaryFolder();
    const { reward } = await counted();
    await (await run({ reward, endpointsDirectory: directory })).trainer.prepare();
    const notes: string[] = [];
    const { trainer } = await run({ reward, endpointsDirectory: directory, ...change });
    await trainer.prepare({ onNote: (line) => notes.push(line) });
    expect(notes).toHaveLength(1);
  });

  it('goes on after the batches that a run drew which was stopped', async () => {
    const whole = await run({ reward: (await counted()).reward, endpointsDirectory: temporaryFolder() });
    await train(whole.trainer);
    const directory = temporaryFolder();
    const stop = new AbortController();
    const stopped = await run({ reward: (await counted()).reward, endpointsDirectory: directory });
    const onEndpoint = (done: number) => done === 16 && stop.abort(new Error('enough'));
    await expect(stopped.trainer.prepare({ onEndpoint, signal: stop.signal })).rejects.toThrow('enough');
    expect(filesOf(directory).some((path) => path.endsWith('.partial'))).toBe(true);
    // A line that was cut in the middle, as a kill leaves it.
    appendFileSync(filesOf(directory).find((path) => path.endsWith('scores.jsonl'))!, '{"values":[1,');
    const { reward, calls } = await counted();
    const second = await run({ reward, endpointsDirectory: directory });
    await train(second.trainer);
    expect(calls()).toBe(2);
    expect(tensorHashes(second.checkpoints, steps)).toEqual(tensorHashes(whole.checkpoints, steps));
  });

  it.each([
    { file: 'endpoints.safetensors', what: 'cut short', damage: (path: string) => truncateSync(path, 5000) },
    {
      file: 'endpoints.safetensors',
      what: 'something else',
      damage: (path: string) => writeFileSync(path, 'no tensors'),
    },
    { file: 'endpoints.safetensors', what: 'gone', damage: (path: string) => rmSync(path) },
    { file: 'scores.jsonl', what: 'cut short', damage: (path: string) => truncateSync(path, 300) },
    { file: 'scores.jsonl', what: 'gone', damage: (path: string) => rmSync(path) },
  ])('draws again where $file is $what', async ({ file, damage }) => {
    const directory = temporaryFolder();
    const first = await run({ reward: (await counted()).reward, endpointsDirectory: directory });
    await train(first.trainer);
    damage(filesOf(directory).find((path) => path.endsWith(file))!);
    const { reward, calls } = await counted();
    const second = await run({ reward, endpointsDirectory: directory });
    await train(second.trainer);
    expect(calls()).toBe(4);
    expect(tensorHashes(second.checkpoints, steps)).toEqual(tensorHashes(first.checkpoints, steps));
  });

  it('resumes bit for bit, and where its endpoints are gone', async () => {
    const whole = await run({ reward: (await counted()).reward, endpointsDirectory: temporaryFolder() });
    await train(whole.trainer);
    const checkpoints = temporaryFolder();
    const first = await run({ reward: (await counted()).reward, endpointsDirectory: temporaryFolder() }, checkpoints);
    await train(first.trainer, 2);
    const second = await run({ reward: (await counted()).reward, endpointsDirectory: temporaryFolder() }, checkpoints);
    await second.trainer.resume(join(checkpoints, 'step-2'));
    const [next] = await train(second.trainer);
    expect(tensorHashes(checkpoints, steps)).toEqual(tensorHashes(whole.checkpoints, steps));
    expect(next!.total.forwards).toBe(30 * 3 + 3 * 16);
  });

  it('leaves nothing on the disk where a program made the reward', async () => {
    const directory = temporaryFolder();
    const { trainer } = await run({ reward: wrapped(), endpointsDirectory: directory });
    await train(trainer);
    expect(existsSync(directory) && readdirSync(directory)).toEqual([]);
  });
});

describe('the native side', () => {
  const conditioning = labels(0, 1, 2, 0);
  const shape = [4, 1, 8, 8];
  const rewards = Float32Array.of(0.3, -1, 2, 0.1);
  const newAlgorithm = async (change: object = {}) =>
    new (binding().Eam)(await tinyModel(tinyLora), { steps: 2, ...change } as never);
  const rollOut = (algorithm: Awaited<ReturnType<typeof newAlgorithm>>, differentiable = true) =>
    algorithm.rollout({
      conditioning,
      shape,
      seed: 3n,
      step: 0,
      differentiable,
      cancellation: new (binding().Cancellation)(),
    });

  it('matches what it recalls as what it has just drawn', async () => {
    const algorithm = await newAlgorithm({ endpoints: 'pretrained' });
    const cancellation = new (binding().Cancellation)();
    const gradient = await normal(shape, 8n);
    const direct = await algorithm.accumulate(await rollOut(algorithm), rewards, gradient, cancellation);
    const { forwards, vjps, ...kept } = await algorithm.keep(await rollOut(algorithm), gradient, cancellation);
    const recalled = await algorithm.recall({ conditioning, ...kept, seed: 3n, step: 0 });
    const later = await algorithm.accumulate(recalled, rewards, undefined, cancellation);
    expect(Array.from(later.perSample)).toEqual(Array.from(direct.perSample));
    expect(later.rewardGradientNorm).toBe(direct.rewardGradientNorm);
    expect([direct.forwards - later.forwards, forwards, vjps]).toEqual([4 * 5, 4 * 5, 0]);
    const images = (recalled as NativeRollout).decode({ begin: 0, end: 4, cancellation });
    await expect(images).rejects.toThrow('the samples were recalled, so they have no images');
    recalled.dispose();
  });

  it.each([
    {
      what: 'a rollout without a gradient for plain EAM',
      work: async () => rollOut(await newAlgorithm(), false),
      says: /needs the reward's gradient.*modes/,
    },
    {
      what: 'modes with pretrained endpoints',
      work: () => newAlgorithm({ endpoints: 'pretrained', modes: true }),
      says: /modes: expected none with the endpoints "pretrained"/,
    },
    {
      what: 'the terminal "plugin" with pretrained endpoints',
      work: () => newAlgorithm({ endpoints: 'pretrained', terminal: 'plugin' }),
      says: /endpoints: expected "current"/,
    },
    {
      what: 'a velocity of another shape',
      work: async () => {
        const algorithm = await newAlgorithm({ endpoints: 'pretrained' });
        const endpoint = await normal(shape, 1n);
        return algorithm.recall({ conditioning, endpoint, velocity: await normal([4, 8], 1n), seed: 0n, step: 0 });
      },
      says: /velocity: expected the endpoint's shape/,
      code: 'ERR_EAM_SHAPE',
    },
    {
      what: 'a gradient for samples that were recalled',
      work: async () => {
        const algorithm = await newAlgorithm({ endpoints: 'pretrained' });
        const endpoint = await normal(shape, 1n);
        const recalled = await algorithm.recall({ conditioning, endpoint, velocity: endpoint, seed: 0n, step: 0 });
        return algorithm.accumulate(recalled, rewards, endpoint, new (binding().Cancellation)());
      },
      says: /rewardGrad: expected none/,
    },
    {
      what: 'Adjoint Matching without a gradient',
      work: async () => {
        const algorithm = new (binding().AdjointMatching)(await tinyModel(tinyLora), { steps: 4 });
        return rollOut(algorithm, false);
      },
      says: /cannot do without the reward's gradient/,
    },
    {
      what: 'endpoints of Adjoint Matching',
      work: async () => {
        const algorithm = new (binding().AdjointMatching)(await tinyModel(tinyLora), { steps: 4 });
        return algorithm.keep(await rollOut(algorithm), undefined, new (binding().Cancellation)());
      },
      says: /keeps no endpoints/,
    },
  ])('refuses $what', async ({ work, says, code = 'ERR_EAM_CONFIG' }) => {
    await expect(work()).rejects.toThrow(says);
    await expect(work()).rejects.toMatchObject({ code });
  });
});

type Tensor = Awaited<ReturnType<typeof normal>>;

const numbers = async (tensor: Tensor): Promise<number[]> => Array.from((await tensor.data()) as Float32Array);

async function rows(tensor: Tensor, first: number, end: number): Promise<Tensor> {
  const width = tensor.shape.slice(1).reduce((product, length) => product * length, 1);
  const data = (await tensor.data()) as Float32Array;
  return binding().Tensor.from(data.slice(first * width, end * width), [end - first, ...tensor.shape.slice(1)]);
}
