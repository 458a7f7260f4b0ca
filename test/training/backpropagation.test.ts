// ReFL, DRaFT and AlignProp on the tiny digits model; what their gradients are in float64 is native/test's to say.
import { spawnSync } from 'node:child_process';
import { join } from 'node:path';

import { describe, expect, it } from 'vitest';

import { CancelledError, ConfigError } from '../../lib/errors.js';
import type { NativeAlgorithm, NativeFlowModel, NativeTensor } from '../../lib/runtime/native/binding.js';
import { binding } from '../../lib/runtime/native/index.js';
import { inspect } from '../../lib/runtime/native/loader.js';
import type {
  AlignPropOptions,
  BackpropagationOptions,
  DraftOptions,
  ReflOptions,
} from '../../lib/runtime/native/options.generated.js';
import { asked, batch, decode, eam, rollOut, seed, shape, step, tensor } from '../helpers/eam-iteration.js';
import { slopeAlong } from '../helpers/gradient-check.js';
import { buildCheck } from '../helpers/native-check.js';
import {
  adaptedModel,
  floats,
  labels,
  largestRelativeError,
  normal,
  relativeError,
  snapshot,
  takeGradients,
  tinyLora,
  tinyModel,
} from '../helpers/tiny-model.js';

const lambda = 2;
const common = { lambda, steps: 4 };
const cancellation = () => new (binding().Cancellation)();
const makers = {
  refl: (model: NativeFlowModel, options: ReflOptions = {}) =>
    new (binding().Refl)(model, { ...common, finalFraction: 0.5, ...options }),
  draft: (model: NativeFlowModel, options: DraftOptions = {}) =>
    new (binding().Draft)(model, { ...common, ...options }),
  alignprop: (model: NativeFlowModel, options: AlignPropOptions = {}) =>
    new (binding().AlignProp)(model, { ...common, ...options }),
};
type Name = keyof typeof makers;
const names = Object.keys(makers) as Name[];
const make = (name: Name, model: NativeFlowModel, options: BackpropagationOptions = {}): NativeAlgorithm =>
  makers[name](model, options);

/** One iteration; the gradient that the reward gives is the same for every image of a place. */
async function iterate(algorithm: NativeAlgorithm, model: NativeFlowModel, change: object = {}, rewards?: number[]) {
  const rollout = await rollOut(algorithm, change);
  const images = await floats(await decode(rollout));
  const rows = rollout.endpoint.shape[0]!;
  const upstream = await normal([rows, ...shape.slice(1)], 8n);
  const values = Float32Array.from(rewards ?? Array<number>(rows).fill(1));
  const metrics = await algorithm.accumulate(rollout, values, upstream, cancellation());
  return { metrics, images, upstream: await floats(upstream), gradients: await takeGradients(model), rows };
}

/** The images of an algorithm's rollout. */
const imagesOf = async (algorithm: NativeAlgorithm, change: object = {}): Promise<number[]> =>
  floats(await decode(await rollOut(algorithm, change)));

/** −λ/rows Σ ∂r/∂images · images, whose gradient an iteration gives where the whole rollout is differentiated. */
const lossOf = (images: readonly number[], upstream: readonly number[], rows: number) =>
  (-lambda / rows) * images.reduce((sum, value, i) => sum + value * upstream[i]!, 0);

it('truncated backpropagation gives the gradients of the rollout written out in float64', async () => {
  const { loaded } = inspect();
  const program = await buildCheck(loaded!.addon.directory, 'check_backpropagation');
  const checked = spawnSync(program, {
    encoding: 'utf8',
    env: { ...process.env, LD_LIBRARY_PATH: join(loaded!.libtorch.directory, 'lib') },
  });
  expect(checked.stdout).toContain('dpmpp2m, AlignProp, iteration 3: one row dropped');
  expect(checked.stdout).toContain('all checks passed');
  expect(checked.status).toBe(0);
});

describe('truncated backpropagation', () => {
  it.each(['euler', 'heun', 'midpoint', 'dpmpp2m'] as const)(
    'with all steps has the gradient of the reward of the whole rollout, with %s and guidance',
    async (solver) => {
      const model = await adaptedModel();
      const algorithm = makers.draft(model, { solver, lastSteps: 4, guidance: 1.5 });
      const free = { unconditional: labels(3) };
      const { gradients, upstream, rows } = await iterate(algorithm, model, free);
      const lossAt = async () => lossOf(await imagesOf(algorithm, free), upstream, rows);
      expect(await slopeAlong(model, gradients, lossAt)).toBeCloseTo(1, 2);
    },
  );

  it('with the last step has the gradient of that step alone', async () => {
    const model = await adaptedModel();
    const algorithm = makers.draft(model);
    const { gradients, upstream, rows } = await iterate(algorithm, model);
    // The state before the last step, by a rollout of the kernels.
    const stream = BigUint64Array.from({ length: batch }, (_, b) => (BigInt(step) << 32n) | (BigInt(b) << 8n));
    let x: NativeTensor = await binding().philoxNormal(shape, { seed, stream });
    const moved = async (from: NativeTensor, t: number) => {
      const v = await model.velocity(from, new Float32Array(batch).fill(t), labels(...asked), false);
      return binding().weightedSum([from, v], [1, 0.25]);
    };
    for (const t of [0, 0.25, 0.5]) x = await moved(x, t);
    const lossAt = async () => lossOf(await floats(await model.images(await moved(x, 0.75))), upstream, rows);
    expect(await slopeAlong(model, gradients, lossAt)).toBeCloseTo(1, 2);
    // The gradient of the whole rollout is another one.
    const whole = async () => lossOf(await imagesOf(algorithm), upstream, rows);
    expect(Math.abs((await slopeAlong(model, gradients, whole)) - 1)).toBeGreaterThan(0.02);
  });

  it.each(names)(
    'of %s does not depend on micro-batches or slices, and counts what they compute again',
    async (name) => {
      const model = await adaptedModel();
      const whole = await iterate(make(name, model), model);
      const change = { microBatch: 2, decodeSlice: 3 };
      const split = await iterate(make(name, model, change), model);
      expect(largestRelativeError(split.gradients, whole.gradients)).toBeLessThan(1e-4);
      expect(relativeError(split.images, whole.images)).toBeLessThan(1e-5);
      const { backwards } = whole.metrics;
      expect(backwards).toBeGreaterThan(0);
      expect(split.metrics).toMatchObject({ forwards: whole.metrics.forwards + backwards, backwards });
    },
  );

  it.each(names)('of %s draws what the pretrained model draws while the adapter is zero', async (name) => {
    const model = await tinyModel(tinyLora);
    const algorithm = make(name, model);
    const { images } = await iterate(algorithm, model);
    const pretrained = await tinyModel();
    const own = makers.draft(await adaptedModel());
    expect(relativeError(images, await imagesOf(make(name, model)))).toBe(0);
    if (name !== 'refl') {
      const { latents } = await binding().sample(pretrained, {
        conditioning: labels(...asked),
        shape,
        seed,
        firstSample: 0,
        solver: 'euler',
        times: [0, 0.25, 0.5, 0.75, 1],
        cancellation: cancellation(),
      });
      // Noise of step 4 is not that of a sampler's, which is of step 0.
      const same = await imagesOf(algorithm, { step: 0 });
      expect(relativeError(same, await floats(await pretrained.images(latents)))).toBeLessThan(1e-6);
    }
    expect(relativeError(images, await imagesOf(own))).toBeGreaterThan(1e-3);
  });

  it.each(names)('of %s gives gradients to the adapter alone', async (name) => {
    const model = await adaptedModel();
    const before = await snapshot(model.weights());
    const { gradients } = await iterate(make(name, model), model);
    expect(Object.keys(gradients).sort()).toEqual(Object.keys(model.trainable()).sort());
    expect(Object.values(gradients).every((values) => values.some((value) => value !== 0))).toBe(true);
    expect(await snapshot(model.weights())).toEqual(before);
  });

  it.each(names)('of %s leaves a sample out whose reward is not finite, and averages over the others', async (name) => {
    const model = await adaptedModel();
    const algorithm = make(name, model);
    const whole = await iterate(algorithm, model);
    const part = await iterate(algorithm, model, {}, [1, NaN, 1, 1, 1]);
    const alone = await iterate(algorithm, model, {}, [NaN, 1, NaN, NaN, NaN]);
    expect(part.metrics).toMatchObject({ dropped: 1, loss: -lambda });
    expect(part.metrics.perSample[1]).toBeNaN();
    const sum = Object.fromEntries(
      Object.entries(part.gradients).map(([key, numbers]) => [
        key,
        numbers.map((value, i) => (4 * value + alone.gradients[key]![i]!) / 5),
      ]),
    );
    expect(largestRelativeError(sum, whole.gradients)).toBeLessThan(1e-4);
    const none = await algorithm.accumulate(
      await rollOut(algorithm),
      new Float32Array(batch).fill(NaN),
      await normal(shape, 8n),
      cancellation(),
    );
    expect(none).toMatchObject({ dropped: batch, loss: 0, backwards: 0 });
  });

  it('clips reward gradients at the running quantile and keeps it', async () => {
    const algorithm = makers.draft(await adaptedModel(), { rewardGradientQuantile: 0.5 });
    const grad = tensor(Array.from({ length: batch * 64 }, (_, i) => (i < 64 ? 1000 : 1)));
    const metrics = await algorithm.accumulate(await rollOut(algorithm), new Float32Array(batch), grad, cancellation());
    expect(metrics.clipped).toBe(1);
    expect(algorithm.state()['rewardGradientNorms']).toHaveLength(batch);
  });

  it.each(names)('of %s stops once cancelled, and refuses what is not its own', async (name) => {
    const model = await adaptedModel();
    const stop = cancellation();
    const running = rollOut(make(name, model, { steps: 20_000 }), { cancellation: stop });
    stop.cancel();
    await expect(running).rejects.toThrow(CancelledError);
    const algorithm = make(name, model);
    const accumulate = async (of: NativeAlgorithm) =>
      algorithm.accumulate(await rollOut(of), new Float32Array(batch), await normal(shape, 8n), cancellation());
    await expect(accumulate(eam(model))).rejects.toThrow(/made by another algorithm/);
    await expect(rollOut(algorithm, { differentiable: false })).rejects.toThrow(
      /cannot do without the reward's gradient; Eam with modes/,
    );
    const plain = await tinyModel();
    expect(() => make(name, plain)).toThrow(/a run's drift is measured from: load it with an adapter/);
  });
});

describe('what is drawn anew in each iteration', () => {
  it('is how many steps AlignProp differentiates, from the fewest to the most', async () => {
    const model = await adaptedModel();
    const algorithm = makers.alignprop(model, { fewestSteps: 2 });
    const counts = new Set<number>();
    for (let iteration = 0; iteration < 30; iteration++) {
      const { metrics } = await iterate(algorithm, model, { step: iteration });
      expect(metrics.forwards).toBe(4 * batch);
      counts.add(metrics.backwards / batch);
    }
    expect([...counts].sort()).toEqual([2, 3, 4]);
  });

  it('is where the rollout of ReFL stops, among its last steps', async () => {
    const model = await adaptedModel();
    const algorithm = makers.refl(model);
    const counts = new Set<number>();
    for (let iteration = 0; iteration < 30; iteration++) {
      const { metrics } = await iterate(algorithm, model, { step: iteration });
      expect(metrics.backwards).toBe(batch);
      counts.add(metrics.forwards / batch);
    }
    expect([...counts].sort()).toEqual([3, 4]);
  });
});

describe('DRaFT-LV', () => {
  it('has further images of each sample, near it, and averages over all of them', async () => {
    const model = await adaptedModel();
    const algorithm = makers.draft(model, { renoisings: 2 });
    const { rows, images, metrics, gradients } = await iterate(algorithm, model);
    expect(rows).toBe(3 * batch);
    expect(metrics).toMatchObject({ forwards: (4 + 2) * batch, backwards: 3 * batch, dropped: 0 });
    const one = await iterate(makers.draft(model), model);
    expect(relativeError(images.slice(0, batch * 64), one.images)).toBeLessThan(1e-6);
    // Image r is of sample r mod B: one of the same sample is nearer than one of another.
    const row = (index: number) => images.slice(index * 64, (index + 1) * 64);
    const distance = (a: number, b: number) => Math.hypot(...row(a).map((value, i) => value - row(b)[i]!));
    for (let b = 0; b < batch; b++) expect(distance(b, b + batch)).toBeGreaterThan(0);
    const near = Array.from({ length: batch }, (_, b) => distance(b, b + batch));
    const far = Array.from({ length: batch }, (_, b) => distance(b, ((b + 1) % batch) + batch));
    expect(near.reduce((x, y) => x + y)).toBeLessThan(far.reduce((x, y) => x + y));
    // A third of the gradient is that of DRaFT-1, whose upstream is that of the first rows.
    const firsts = Array.from({ length: rows }, (_, r) => (r < batch ? 1 : NaN));
    const first = await iterate(algorithm, model, {}, firsts);
    expect(first.metrics.dropped).toBe(0);
    const rest = await iterate(
      algorithm,
      model,
      {},
      firsts.map((value) => (Number.isNaN(value) ? 1 : NaN)),
    );
    const sum = Object.fromEntries(
      Object.entries(first.gradients).map(([key, numbers]) => [
        key,
        numbers.map((value, i) => (value + 2 * rest.gradients[key]![i]!) / 3),
      ]),
    );
    expect(largestRelativeError(sum, gradients)).toBeLessThan(1e-4);
  });

  it('counts a sample as dropped only where all of its images are', async () => {
    const model = await adaptedModel();
    const rewards = Array.from({ length: 2 * batch }, (_, r) => (r === 0 || r === 1 || r === batch ? NaN : 1));
    const { metrics } = await iterate(makers.draft(model, { renoisings: 1 }), model, {}, rewards);
    expect(metrics.dropped).toBe(1);
    expect(Array.from(metrics.perSample, Number.isNaN).filter(Boolean)).toHaveLength(3);
  });
});

describe('options out of range', () => {
  it.each([
    {
      name: 'refl' as const,
      change: { finalFraction: 0 },
      message: /^Refl: finalFraction: expected a number above 0, got 0$/,
    },
    { name: 'refl' as const, change: { steps: 0 }, message: /^Refl: steps: expected a number of at least 1, got 0$/ },
    { name: 'refl' as const, change: { lastSteps: 1 }, message: /^Refl: lastSteps: unknown key/ },
    {
      name: 'draft' as const,
      change: { lastSteps: 0 },
      message: /^Draft: lastSteps: expected a number of at least 1, got 0$/,
    },
    {
      name: 'draft' as const,
      change: { lastSteps: 5 },
      message: /^Draft: lastSteps: expected at most the rollout's 4 steps, got 5$/,
    },
    {
      name: 'draft' as const,
      change: { renoisings: 2, lastSteps: 2 },
      message: /^Draft: lastSteps: expected 1 with renoisings, .*, got 2$/,
    },
    {
      name: 'draft' as const,
      change: { renoisings: -1 },
      message: /^Draft: renoisings: expected a number of at least 0, got -1$/,
    },
    {
      name: 'alignprop' as const,
      change: { mostSteps: 5 },
      message: /^AlignProp: mostSteps: expected at most the rollout's 4 steps, got 5$/,
    },
    {
      name: 'alignprop' as const,
      change: { fewestSteps: 3, mostSteps: 2 },
      message: /^AlignProp: fewestSteps: expected at most 2, the most steps, got 3$/,
    },
  ])('are refused by the native $name: $change', async ({ name, change, message }) => {
    const model = await adaptedModel();
    expect(() => make(name, model, change)).toThrow(ConfigError);
    expect(() => make(name, model, change)).toThrow(message);
  });
});
