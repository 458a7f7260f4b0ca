// EAM's term that corrects mode weights: its formulas (native/test/check_modes.cpp), its state, and that it does what
// plain EAM cannot.
import { execFile } from 'node:child_process';
import { promisify } from 'node:util';

import { describe, expect, it } from 'vitest';

import { CheckpointError, ConfigError } from '../../lib/errors.js';
import { fidelity } from '../../lib/jobs/fidelity/fidelity.js';
import { readProblem } from '../../lib/jobs/fidelity/problem.js';
import { settingsFor } from '../../lib/jobs/fidelity/settings.js';
import { inspect } from '../../lib/runtime/native/loader.js';
import { binding } from '../../lib/runtime/native/index.js';
import type { NativeAlgorithm, NativeFlowModel } from '../../lib/runtime/native/binding.js';
import type { EamOptions } from '../../lib/runtime/native/options.generated.js';
import { algorithmSchema, eam } from '../../lib/training/algorithms.js';
import { validate } from '../../lib/schema/validate.js';
import { buildCheck } from '../helpers/native-check.js';
import { expectClose } from '../helpers/numbers.js';
import {
  adaptedModel,
  labels,
  normal,
  relativeError,
  takeGradients,
  tinyLora,
  tinyModel,
} from '../helpers/tiny-model.js';
import { tensorHashes, tinyModelDirectory, tinyRun } from '../helpers/tiny-run.js';

const batch = 5;
const shape = [batch, 1, 8, 8];
const rewards = Float32Array.of(0.3, -1, 2, 0.1, -0.4);

const native = (model: NativeFlowModel, change: EamOptions = {}): NativeAlgorithm =>
  new (binding().Eam)(model, { steps: 3, renoisings: 3, modes: true, ...change });

async function iterate(algorithm: NativeAlgorithm, model: NativeFlowModel, step = 4, values = rewards) {
  const cancellation = new (binding().Cancellation)();
  const conditioning = labels(0, 1, 2, 0, 3);
  const rollout = await algorithm.rollout({ conditioning, shape, seed: 31n, step, cancellation });
  const metrics = await algorithm.accumulate(rollout, values, await normal(shape, 8n), cancellation);
  return { metrics, gradients: await takeGradients(model), state: algorithm.state() };
}

it('the term of modes agrees with its definition, the log ratios of Gaussians and its fixed point', async () => {
  const program = await buildCheck(inspect().loaded!.addon.directory, 'check_modes');
  const { stdout } = await promisify(execFile)(program);
  expect(stdout).toContain('all checks passed');
});

describe('an iteration with modes', () => {
  it('has neither drift nor advantage at λ = 0 before the first update', async () => {
    const model = await tinyModel(tinyLora);
    const { metrics } = await iterate(native(model, { lambda: 0 }), model);
    expect(metrics.modes).toEqual({ drift: 0, driftStd: 0, advantage: 0, advantageStd: 0, clipped: 0 });
    const adapted = await adaptedModel();
    const { metrics: moved } = await iterate(native(adapted, { lambda: 0 }), adapted);
    expect(Math.abs(moved.modes!.drift)).toBeGreaterThan(0);
    expect(moved.modes!.advantage).toBeCloseTo(-moved.modes!.drift, 10);
    expect((await iterate(native(adapted, { modes: false }), adapted)).metrics).not.toHaveProperty('modes');
  });

  it('counts the pretrained evaluations', async () => {
    const model = await adaptedModel();
    const plain = (await iterate(native(model, { modes: false }), model)).metrics;
    const { metrics } = await iterate(native(model), model);
    expect(metrics.forwards - plain.forwards).toBe(3 * 4 * batch);
    expect(metrics.backwards).toBe(plain.backwards);
  });

  it.each([1, 4, 7])('does not depend on a micro-batch of %i', async (microBatch) => {
    const model = await adaptedModel();
    const whole = native(model);
    const parts = native(model, { microBatch });
    for (const step of [4, 5]) {
      const expected = await iterate(whole, model, step);
      const found = await iterate(parts, model, step);
      expect(found.state['modeBaseline']).toHaveLength(2);
      expectClose(found.state['modeBaseline']!, expected.state['modeBaseline']!, 1e-3);
      expect(found.metrics.loss / expected.metrics.loss).toBeCloseTo(1, 4);
      for (const [name, gradient] of Object.entries(expected.gradients)) {
        expect(relativeError(found.gradients[name]!, gradient)).toBeLessThan(1e-3);
      }
      expect(found.metrics.modes!.clipped).toBe(expected.metrics.modes!.clipped);
    }
  });

  it('leaves a sample out of gradients and baseline where a reward or loss is not finite', async () => {
    const model = await adaptedModel();
    const { metrics, gradients, state } = await iterate(native(model), model, 4, Float32Array.of(0.3, NaN, 2, 0.1, 1));
    expect(metrics.dropped).toBe(1);
    expect(metrics.backwards).toBe(3 * (batch - 1));
    expect(state['modeBaseline']!.every(Number.isFinite)).toBe(true);
    expect(Object.values(gradients).flat().every(Number.isFinite)).toBe(true);

    const algorithm = native(model);
    const huge = await iterate(algorithm, model, 4, Float32Array.of(0.3, 1e38, 2, 0.1, 1));
    expect(Object.values(huge.gradients).flat().every(Number.isFinite)).toBe(true);
    expect(huge.state['modeBaseline']!.every(Number.isFinite)).toBe(true);
  });
});

describe('the state of modes', () => {
  it('is restored, and refused where a run and its checkpoint do not both have one', async () => {
    const model = await adaptedModel();
    const algorithm = native(model);
    const { state } = await iterate(algorithm, model);
    const other = native(model);
    other.load(state);
    const [expected, found] = [await iterate(algorithm, model, 5), await iterate(other, model, 5)];
    expect(found.state).toEqual(expected.state);
    expect(found.gradients).toEqual(expected.gradients);

    expect(() => native(model, { modes: false }).load(state)).toThrow(CheckpointError);
    expect(() => native(model).load({ rewardGradientNorms: [] })).toThrow(CheckpointError);
    for (const modeBaseline of [[1], [NaN, 1], [0, -1], [0, 1, 2]]) {
      expect(() => native(model).load({ ...state, modeBaseline })).toThrow(/modeBaseline: expected a finite mean/);
    }
    expect(() => native(model).load({ ...state, modeBaselin: [] })).toThrow(/modeBaselin: unknown key/);
  });

  it('goes on with the same bits after a resume', async () => {
    const directory = await tinyModelDirectory();
    const algorithm = () => eam({ steps: 2, modes: true, solver: 'euler', delta: 0.3 });
    const train = async (steps: number, from?: string) => {
      const run = await tinyRun(directory, undefined, { algorithm: algorithm() });
      if (from) await run.trainer.resume(from);
      for await (const step of run.trainer.run({ steps })) expect(step.modes).toBeDefined();
      return run.checkpoints;
    };
    // The schedule depends on the number of steps: stopped within the same run.
    const whole = await train(4);
    const stopped = await tinyRun(directory, undefined, { algorithm: algorithm() });
    for await (const { step } of stopped.trainer.run({ steps: 4 })) if (step === 2) break;
    const resumed = await train(4, `${stopped.checkpoints}/step-2`);
    expect(tensorHashes(resumed, 4)).toEqual(tensorHashes(whole, 4));
  });
});

describe('the options of modes', () => {
  const read = (algorithm: object) => validate(algorithmSchema, algorithm, 'algorithm') as { modes?: unknown };

  it.each([
    { given: { modes: true }, C: 0.6 },
    { given: { modes: {} }, C: 0.6 },
    { given: { modes: true, C: 0.8 }, C: 0.8 },
    { given: { modes: true, C: undefined }, C: 0.6 },
    { given: { modes: false }, C: 1 },
    { given: {}, C: 1 },
  ])('change the default of C for $given', ({ given, C }) => {
    expect(read({ name: 'eam', ...given })).toMatchObject({ C });
    expect(eam(given as EamOptions).options).toMatchObject({ C });
    if (given.modes) expect(eam(given as EamOptions).options['modes']).toMatchObject({ gain: 8 });
  });

  it.each([
    { given: { modes: { gian: 1 } }, message: /modes\.gian: unknown key; did you mean "gain"/ },
    { given: { modes: { gain: -1 } }, message: /modes\.gain: expected a number of at least 0, got -1/ },
    { given: { modes: { times: 0 } }, message: /modes\.times: expected a number of at least 1, got 0/ },
    { given: { modes: { floor: 1 } }, message: /modes\.floor: expected a number of at most 0, got 1/ },
    { given: { modes: { ceiling: 0 } }, message: /modes\.ceiling: expected a number above 0, got 0/ },
    { given: { modes: 'yes' }, message: /modes: expected/ },
  ])('refuse $given', ({ given, message }) => {
    expect(() => read({ name: 'eam', ...given })).toThrow(message);
    expect(() => eam(given as EamOptions)).toThrow(message);
    expect(() => read({ name: 'am', modes: true })).toThrow(/modes: unknown key/);
  });

  it('need the consistent terminal', async () => {
    const model = await adaptedModel();
    const create = () => native(model, { terminal: 'plugin' });
    expect(create).toThrow(/modes: expected none, or the terminal "consistent"/);
    expect(create).toThrow(ConfigError);
  });
});

it('EAM with modes reaches weights of separated modes that EAM alone does not', async () => {
  const reached = async (modes: boolean) => {
    const changes = ['sampling.count=1000', 'sampling.curveCount=10', `algorithm.modes=${modes}`, 'oracle=false'];
    const settings = settingsFor('eam', { steps: 200, batch: 128, evaluateEvery: 200 }, changes);
    return (await fidelity({ problem: await readProblem('separated'), settings })).runs[0]!;
  };
  expect((await reached(false)).totalVariation).toBeGreaterThan(0.25);
  const { totalVariation, reward } = await reached(true);
  expect(totalVariation).toBeLessThan(0.08);
  expect(Math.abs(reward - 1.11)).toBeLessThan(0.2);
});
