import { z } from 'zod';

import { createAlgorithm, settingsOf } from '../../training/algorithms.js';
import { abortSignal, callback, objectWith } from '../../schema/options.js';
import { expected, validate } from '../../schema/validate.js';
import { ConfigError } from '../../errors.js';
import { drawLatents, type DrawOptions } from './draw.js';
import type { Problem } from './problem.js';
import { trainOnExactSamples } from './oracle.js';
import {
  summarise,
  type CurvePoint,
  type FidelityResult,
  type FidelityRun,
  type OracleRun,
  type TrainingCost,
} from './result.js';
import { fidelitySchema, type FidelitySettings } from './settings.js';
import { expectedReward, tiltedMixture } from './tilted-mixture.js';
import { Yardstick, type FidelityMeasurement, type QuickMeasurement } from './yardstick.js';
import { GaussianMixtureModel } from '../../models/gaussian-mixture.js';
import { chooseDevice } from '../../runtime/device.js';
import type { GaussianMixture } from '../../runtime/native/binding.js';
import { binding } from '../../runtime/native/index.js';
import { silent, type JobObserver } from '../progress.js';
import type { AlgorithmConfig, FidelityConfig } from '../settings/config.generated.js';
import { combine } from '../../rewards/combine.js';
import { quadratic } from '../../rewards/quadratic.js';
import type { Reward } from '../../rewards/reward.js';
import type { Tensor } from '../../runtime/native/tensor.js';
import { Trainer } from '../../training/trainer.js';

/** Options of {@link fidelity}. */
export interface FidelityOptions {
  /** From {@link readProblem}, or written out. */
  problem: Problem;
  /** How to train and measure; what is left out has the default that {@link FidelityConfig} states. */
  settings: FidelityConfig;
  /** Told of every step. */
  observer?: JobObserver | undefined;
  /** Stops between network evaluations. */
  signal?: AbortSignal | undefined;
  /** Given the samples behind the final figures of the model before training, and of each seed's run and oracle. */
  onSamples?: ((samples: FidelitySamples) => void) | undefined;
}

/** Samples that final figures are of. */
export interface FidelitySamples {
  /** What drew them. */
  of: 'pretrained' | 'run' | 'oracle';
  /** The seed that training had; 0 before it. */
  seed: number;
  /** A sample after another, each with the problem's number of dimensions. */
  values: Float32Array;
}

const optionsSchema = z.strictObject({
  problem: objectWith('a problem, such as readProblem gives', 'means', 'std', 'reward', 'lambda'),
  settings: z.object({}),
  observer: objectWith('an observer with begin, advance, note and end', 'begin', 'advance', 'note', 'end').optional(),
  signal: abortSignal.optional(),
  onSamples: callback.optional(),
});

/**
 * Fine-tunes a Gaussian mixture's flow towards a reward whose tilted target is known exactly, once a seed, and measures
 * what was reached against it.
 *
 * @throws ConfigError for settings out of range, a target without a density, or an `algorithm.lambda` besides the
 * problem's
 */
export async function fidelity(options: FidelityOptions): Promise<FidelityResult> {
  validate(optionsSchema, options, 'fidelity');
  const { problem, settings, observer = silent, signal, onSamples = () => {} } = options;
  const wanted = validate(fidelitySchema, withLambda(settings, problem.lambda), 'fidelity settings');
  const checked = { ...wanted, device: chooseDevice(wanted.device).device };
  const target = tiltedMixture(problem);
  const { sampling, device } = checked;
  const reward = quadratic(problem.reward);
  const native = binding();
  const exactSamples = (offset: number) =>
    native.drawMixture(target, sampling.count, BigInt(sampling.seed + offset), device);

  const threads = await native.threads();
  await native.setThreads(checked.threads);
  try {
    using yardstick = await Yardstick.create(target, reward, await exactSamples(0), checked.distances);
    const floor = await measured(yardstick, exactSamples(1));
    const setup = { problem, settings: checked, yardstick, observer, signal, onSamples };
    const pretrained = await measurePretrained(setup);
    const runs: FidelityRun[] = [];
    const oracles: OracleRun[] = [];
    for (const seed of checked.seeds) {
      runs.push(await run(setup, seed, pretrained));
      if (checked.oracle) oracles.push(await runOracle(setup, target, seed));
    }
    return {
      problem,
      settings: checked,
      exact: {
        reward: expectedReward(target, problem),
        modeWeights: target.weights,
        pretrainedReward: expectedReward(tiltedMixture(problem, 0), problem),
        target: { means: target.means, variances: target.variances },
      },
      pretrained,
      floor,
      runs,
      summary: summarise(runs),
      ...(checked.oracle && { oracle: { runs: oracles, summary: summarise(oracles) } }),
    };
  } finally {
    await native.setThreads(threads);
  }
}

interface Setup {
  problem: Problem;
  settings: FidelitySettings;
  yardstick: Yardstick;
  observer: JobObserver;
  signal: AbortSignal | undefined;
  onSamples: NonNullable<FidelityOptions['onSamples']>;
}

/** Gives the sum of two parts of a reward, of which `share` of it is values alone. */
function withoutGradient(reward: Reward, share: number): Reward {
  const values: Reward = { ...reward, differentiable: false };
  if (share === 0 || share === 1) return share === 0 ? reward : values;
  return combine([
    [reward, 1 - share],
    [values, share],
  ]);
}

async function run(
  { problem, settings, yardstick, observer, signal, onSamples }: Setup,
  seed: number,
  start: QuickMeasurement,
): Promise<FidelityRun> {
  const { steps, evaluateEvery, sampling } = settings;
  using model = newModel(problem, settings, seed);
  const trainer = new Trainer({
    model,
    reward: withoutGradient(quadratic(problem.reward), settings.valuesOnly),
    prompts: [model.name],
    algorithm: createAlgorithm(settings.algorithm),
    optimizer: settings.optimizer,
    batch: settings.batch,
    seed,
  });
  const draw = (count: number) => drawTrained(model, settings, { seed, count, average: trainer.averaging, signal });

  const { reward, rewardError, mmdSquared } = start;
  let cost: TrainingCost = { forwards: 0, vjps: 0, backwards: 0, seconds: 0 };
  const curve: CurvePoint[] = [{ step: 0, ...cost, reward, rewardError, mmdSquared }];
  observer.note(`seed ${seed}`);
  observer.begin(steps, 0);
  try {
    for await (const step of trainer.run({ steps, signal })) {
      cost = step.total;
      if (step.step % evaluateEvery === 0 || step.step === steps) {
        using samples = await draw(sampling.curveCount);
        curve.push({ step: step.step, ...cost, ...(await yardstick.quick(samples)) });
      }
      observer.advance(step.step, { 'E[r]': curve.at(-1)!.reward, loss: step.loss }, step.forwards + step.vjps);
    }
    const told = (values: Float32Array) => onSamples({ of: 'run', seed, values });
    return { seed, ...(await measured(yardstick, draw(sampling.count), told)), ...cost, curve };
  } finally {
    observer.end();
  }
}

async function runOracle(
  { problem, settings, yardstick, observer, signal, onSamples }: Setup,
  target: GaussianMixture,
  seed: number,
): Promise<OracleRun> {
  using model = newModel(problem, settings, seed);
  observer.note(`seed ${seed}, exact samples`);
  const { average, ...cost } = await trainOnExactSamples(model, target, { settings, seed, observer, signal });
  const { count } = settings.sampling;
  return {
    seed,
    ...(await measured(yardstick, drawTrained(model, settings, { seed, count, average, signal }), (values) =>
      onSamples({ of: 'oracle', seed, values }),
    )),
    ...cost,
  };
}

/** Samples of a seed's model after training, from noise that training did not see. */
function drawTrained(
  model: GaussianMixtureModel,
  settings: FidelitySettings,
  { seed, signal, ...options }: Pick<DrawOptions, 'count' | 'average' | 'signal'> & { seed: number },
): Promise<Tensor> {
  return drawLatents(model, { ...drawOptions(settings, seed + 1, signal), ...options, weights: 'trained' });
}

async function measurePretrained({
  problem,
  settings,
  yardstick,
  signal,
  onSamples,
}: Setup): Promise<FidelityMeasurement> {
  using model = newModel(problem, settings, 0);
  return await measured(
    yardstick,
    drawLatents(model, { ...drawOptions(settings, 0, signal), count: settings.sampling.count, weights: 'pretrained' }),
    (values) => onSamples({ of: 'pretrained', seed: 0, values }),
  );
}

const drawOptions = (
  { sampling }: FidelitySettings,
  offset: number,
  signal: AbortSignal | undefined,
): Pick<DrawOptions, 'seed' | 'sampling' | 'signal'> => ({
  seed: BigInt(sampling.seed + offset),
  sampling,
  signal,
});

async function measured(
  yardstick: Yardstick,
  drawn: Promise<Tensor>,
  tell?: (values: Float32Array) => void,
): Promise<FidelityMeasurement> {
  using samples = await drawn;
  tell?.((await samples.data()) as Float32Array);
  return await yardstick.measure(samples);
}

function newModel(
  { means, std, weights }: Problem,
  { network, device }: FidelitySettings,
  seed: number,
): GaussianMixtureModel {
  return new GaussianMixtureModel({ means, std, weights, ...network }, { seed: BigInt(seed), device });
}

function withLambda(settings: FidelityConfig, lambda: number): unknown {
  const algorithm = settingsOf(settings.algorithm) as AlgorithmConfig;
  if (algorithm.lambda !== undefined && algorithm.lambda !== lambda) {
    throw new ConfigError(
      expected('algorithm.lambda', `the problem's lambda, ${lambda}`, `${algorithm.lambda}: change it there`),
    );
  }
  return { ...settings, algorithm: { ...algorithm, lambda } };
}
