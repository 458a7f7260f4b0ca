import { spawnSync } from 'node:child_process';
import { join } from 'node:path';

import { describe, expect, it } from 'vitest';

import { CancelledError, ConfigError, DisposedError, ShapeError } from '../../lib/errors.js';
import { binding } from '../../lib/runtime/native/index.js';
import { inspect } from '../../lib/runtime/native/loader.js';
import type {
  NativeAlgorithm,
  NativeFlowModel,
  NativeRollout,
  NativeTensor,
} from '../../lib/runtime/native/binding.js';
import { peakOf } from '../helpers/executor.js';
import type { AdjointMatchingOptions } from '../../lib/runtime/native/options.generated.js';
import { buildCheck } from '../helpers/native-check.js';
import {
  adaptedModel,
  eamOptions,
  floats,
  labels,
  largestRelativeError,
  normal,
  relativeError,
  takeGradients,
  tinyModel,
} from '../helpers/tiny-model.js';
import {
  adjointsOf,
  asked,
  batch,
  chosenSteps,
  filled,
  options,
  seed,
  shape,
  statesOf,
  step,
  termsOf,
} from '../helpers/adjoint-matching.js';
import { slopeAlong } from '../helpers/gradient-check.js';
import { vectors } from '../helpers/vectors.js';

const values = new Float32Array(batch);
const cancellation = () => new (binding().Cancellation)();

const am = (model: NativeFlowModel, change: AdjointMatchingOptions = {}): NativeAlgorithm =>
  new (binding().AdjointMatching)(model, { ...options, ...change });

const rollOut = (algorithm: NativeAlgorithm, change: object = {}): Promise<NativeRollout> =>
  algorithm.rollout({ conditioning: labels(...asked), shape, seed, step, cancellation: cancellation(), ...change });

async function iterate(
  model: NativeFlowModel,
  change: AdjointMatchingOptions = {},
  more: { rewards?: Float32Array; grad?: NativeTensor; step?: number } = {},
) {
  const algorithm = am(model, change);
  const rollout = await rollOut(algorithm, { step: more.step ?? step });
  const endpoint = await floats(rollout.endpoint);
  const metrics = await algorithm.accumulate(
    rollout,
    more.rewards ?? values,
    more.grad ?? (await normal(shape, 8n)),
    cancellation(),
  );
  return { metrics, endpoint, gradients: await takeGradients(model), state: algorithm.state() };
}

const meanOf = (numbers: number[]) => numbers.reduce((sum, value) => sum + value, 0) / numbers.length;

it('Adjoint Matching gives the losses of the reference vectors and of an asymmetric Jacobian', async () => {
  const { loaded } = inspect();
  const program = await buildCheck(loaded!.addon.directory, 'check_adjoint_matching');
  const { steps, lam, x0, noise, states, adjoints } = vectors.adjoint_matching;
  const input = [
    steps,
    x0.length,
    lam,
    ...x0,
    ...noise.flat(),
    ...states.flat(),
    ...states.at(-1)!.map(Math.tanh),
    ...adjoints.flat(),
  ];
  const checked = spawnSync(program, {
    encoding: 'utf8',
    input: input.join(' '),
    env: { ...process.env, LD_LIBRARY_PATH: join(loaded!.libtorch.directory, 'lib') },
  });
  expect(checked.stdout).toContain(`vectors, the last ${steps} steps: gradient`);
  expect(checked.stdout).toContain('all checks passed');
  expect(checked.status).toBe(0);
});

describe('the rollout of Adjoint Matching', () => {
  it('takes a gradient of all images back in slices where memory is short, to the same end', async () => {
    const model = await adaptedModel();
    const [whole, sliced] = [await iterate(model), await iterate(model, { decodeSlice: 2 })];
    expect(largestRelativeError(sliced.gradients, whole.gradients)).toBeLessThan(1e-5);
  });

  it('is the memoryless SDE of the trained model', async () => {
    const model = await adaptedModel();
    const { endpoint, metrics } = await iterate(model);
    // The estimate at the last step, by the pretrained model: without that step's noise.
    const last = (await statesOf(model)).at(-2)!;
    const h = 1 / options.steps;
    const velocity = await floats(await model.velocity(last, filled(1 - h), labels(...asked), true));
    const denoised = (await floats(last)).map((value, i) => value + h * velocity[i]!);
    expect(relativeError(endpoint, denoised)).toBeLessThan(1e-5);
    // 6 of the rollout, 1 for its estimate; going back 6 to the pretrained model, or fewer if no term is left; 4 terms.
    const visited = options.steps - chosenSteps()[0]!;
    expect(metrics).toMatchObject({
      forwards: (options.steps + 1 + visited + 4) * batch,
      vjps: visited * batch,
      backwards: 4 * batch,
      dropped: 0,
      clipped: 0,
      capped: 0,
      scoreNorm: 0,
    });
  });

  it('applies guidance, and counts both evaluations', async () => {
    const model = await adaptedModel();
    const algorithm = am(model, { guidance: 3 });
    const rollout = await rollOut(algorithm, { unconditional: labels(3) });
    expect(rollout.forwards).toBe((2 * options.steps + 1) * batch);
    expect(
      relativeError(await floats(rollout.endpoint), await floats((await rollOut(am(model))).endpoint)),
    ).toBeGreaterThan(1e-3);
    await expect(rollOut(algorithm)).rejects.toThrow(
      /guidance: expected 1 without an unconditional conditioning, got 3/,
    );
  });

  it('does not depend on the micro-batch, nor does the gradient', async () => {
    const model = await adaptedModel();
    const whole = await iterate(model);
    const split = await iterate(model, { microBatch: 2 });
    expect(relativeError(split.endpoint, whole.endpoint)).toBeLessThan(1e-5);
    expect(relativeError(split.metrics.perSample, whole.metrics.perSample)).toBeLessThan(1e-4);
    expect(largestRelativeError(split.gradients, whole.gradients)).toBeLessThan(1e-4);
    expect({ ...split.metrics, loss: 0, perSample: 0, rewardGradientNorm: 0 }).toEqual({
      ...whole.metrics,
      loss: 0,
      perSample: 0,
      rewardGradientNorm: 0,
    });
  });
});

describe('the loss of Adjoint Matching', () => {
  it('is that of the lean adjoint, which multiplies the Jacobian from the left', async () => {
    const model = await adaptedModel();
    const { metrics } = await iterate(model);
    const states = await statesOf(model);
    const chosen = chosenSteps();
    const terms = await termsOf(model, states, await adjointsOf(states, 'vjp'), chosen);
    const losses = asked.map((_, b) => meanOf(terms.map((term) => term[b]!)));
    expect(relativeError(metrics.perSample, losses)).toBeLessThan(1e-4);
    expect(metrics.loss / meanOf(losses)).toBeCloseTo(1, 4);
    const wrong = await termsOf(model, states, await adjointsOf(states, 'jvp'), chosen);
    expect(
      relativeError(
        metrics.perSample,
        asked.map((_, b) => meanOf(wrong.map((term) => term[b]!))),
      ),
    ).toBeGreaterThan(0.02);
  });

  it('has the gradient that its differences show', async () => {
    const model = await adaptedModel();
    const { gradients } = await iterate(model);
    const states = await statesOf(model);
    const adjoints = await adjointsOf(states, 'vjp');
    const lossAt = async () => meanOf((await termsOf(model, states, adjoints, chosenSteps())).flat());
    expect(await slopeAlong(model, gradients, lossAt)).toBeCloseTo(1, 2);
  });

  it('draws other steps in other iterations, and always takes the last', () => {
    const draws = Array.from({ length: 40 }, (_, iteration) => chosenSteps(iteration));
    expect(new Set(draws.map(String)).size).toBe(6); // 2 of the first 4
    for (const draw of draws) expect(draw.slice(-2)).toEqual([4, 5]);
  });

  it('counts capped terms as the cap, and learns nothing from them', async () => {
    const model = await adaptedModel();
    const states = await statesOf(model);
    const chosen = chosenSteps();
    const terms = await termsOf(model, states, await adjointsOf(states, 'vjp'), chosen);
    const cap = [...terms.flat()].sort((a, b) => a - b)[5]! * 1.0001;
    const part = await iterate(model, { cap });
    expect(part.metrics.capped).toBe(6);
    expect(
      relativeError(
        part.metrics.perSample,
        asked.map((_, b) => meanOf(terms.map((term) => Math.min(cap, term[b]!)))),
      ),
    ).toBeLessThan(1e-4);
    const all = await iterate(model, { cap: 1e-6 });
    expect(all.metrics.capped).toBe(12);
    expect(all.metrics.loss).toBeCloseTo(1e-6, 12);
    expect(Math.max(...Object.values(all.gradients).flat().map(Math.abs))).toBe(0);
    expect(Math.max(...Object.values(part.gradients).flat().map(Math.abs))).toBeGreaterThan(0);
  });

  it('leaves a sample out whose reward is not finite, and divides by the others', async () => {
    const model = await adaptedModel();
    const { metrics, gradients } = await iterate(model, {}, { rewards: Float32Array.of(0, NaN, 0) });
    expect(metrics.dropped).toBe(1);
    expect(metrics.perSample[1]).toBeNaN();
    // The second sample alone makes up the difference to the whole batch.
    const whole = await iterate(model);
    const alone = await iterate(model, {}, { rewards: Float32Array.of(NaN, 0, NaN) });
    const sum = Object.fromEntries(
      Object.entries(gradients).map(([name, numbers]) => [
        name,
        numbers.map((value, i) => (2 * value + alone.gradients[name]![i]!) / 3),
      ]),
    );
    expect(largestRelativeError(sum, whole.gradients)).toBeLessThan(1e-4);
    const algorithm = am(model);
    const none = await algorithm.accumulate(
      await rollOut(algorithm),
      filled(Infinity),
      await normal(shape, 8n),
      cancellation(),
    );
    expect(none).toMatchObject({ dropped: batch, loss: 0, vjps: 0, backwards: 0 });
  });

  it('clips reward gradients at the running quantile and keeps it', async () => {
    const { metrics, state } = await iterate(await adaptedModel(), { rewardGradientQuantile: 0.5 });
    expect(metrics.clipped).toBe(1);
    expect(state['rewardGradientNorms']).toHaveLength(batch);
  });
});

it('Adjoint Matching holds no more than the states as steps grow', async () => {
  const model = await adaptedModel();
  const count = 64;
  const iteration = async (steps: number) => {
    const algorithm = am(model, { steps, drawnSteps: steps });
    const rollout = await algorithm.rollout({
      conditioning: labels(1),
      shape: [count, 1, 8, 8],
      seed,
      step,
      cancellation: cancellation(),
    });
    await algorithm.accumulate(rollout, new Float32Array(count), await normal([count, 1, 8, 8], 8n), cancellation());
    rollout.dispose();
    await takeGradients(model);
  };
  const [few, many] = [await peakOf(() => iteration(10)), await peakOf(() => iteration(160))];
  // A state is 16 kB; the graph of one evaluation of the batch is some 2 MB.
  expect(many - few).toBeLessThan(2 * 150 * 64 * 64 * 4);
});

describe('Adjoint Matching', () => {
  it.each([
    { change: { steps: 0 }, message: /^AdjointMatching: steps: expected a number of at least 1, got 0$/ },
    {
      change: { finalFraction: 1.5 },
      message: /^AdjointMatching: finalFraction: expected a number of at most 1, got 1\.5$/,
    },
    { change: { drawnSteps: 0, finalFraction: 0 }, message: /no step would enter the loss/ },
    { change: { drawnSteps: -1 }, message: /^AdjointMatching: drawnSteps: expected a number of at least 0, got -1$/ },
    { change: { cap: 0 }, message: /^AdjointMatching: cap: expected a number above 0, got 0$/ },
    {
      change: { rewardGradientQuantile: 0 },
      message: /^AdjointMatching: rewardGradientQuantile: expected a number above 0, got 0$/,
    },
    { change: { renoisings: 2 } as object, message: /^AdjointMatching: renoisings: unknown key; known keys: lambda, / },
  ])('refuses $change', async ({ change, message }) => {
    const model = await adaptedModel();
    expect(() => am(model, change)).toThrow(ConfigError);
    expect(() => am(model, change)).toThrow(message);
  });

  it('refuses a model without an adapter, shapes that do not fit, and the rollout of another algorithm', async () => {
    const plain = await tinyModel();
    expect(() => am(plain)).toThrow(/Adjoint Matching matches against: load it with an adapter/);
    const model = await adaptedModel();
    const algorithm = am(model);
    const other = new (binding().Eam)(model, eamOptions);
    const accumulate = async (rollout: NativeRollout, rewards = values) =>
      algorithm.accumulate(rollout, rewards, await normal(shape, 8n), cancellation());
    await expect(accumulate(await rollOut(other))).rejects.toThrow(/made by another algorithm/);
    await expect(accumulate(await rollOut(algorithm), new Float32Array(2))).rejects.toThrow(ShapeError);
    await expect(rollOut(algorithm, { shape: [2, 1, 8, 8] })).rejects.toThrow(/conditioning\[0\]/);
    const rollout = await rollOut(algorithm);
    await accumulate(rollout);
    await expect(accumulate(rollout)).rejects.toThrow(/already used/);
    rollout.dispose();
    await expect(accumulate(rollout)).rejects.toThrow(DisposedError);
  });

  it('stops once cancelled', async () => {
    const algorithm = am(await adaptedModel(), { steps: 2000, drawnSteps: 1 });
    const stop = cancellation();
    const running = rollOut(algorithm, { cancellation: stop });
    stop.cancel();
    await expect(running).rejects.toThrow(CancelledError);
  });
});
