import { z } from 'zod';

import { createAlgorithm } from '../../training/algorithms.js';
import { abortSignal, objectWith } from '../../schema/options.js';
import { validate } from '../../schema/validate.js';
import { ConfigError } from '../../errors.js';
import { drawLatents, type DrawOptions } from './draw.js';
import type { Problem } from './problem.js';
import { fidelitySchema, type FidelitySettings } from './settings.js';
import { expectedReward, tiltedMixture } from './tilted-mixture.js';
import { Yardstick, type FidelityMeasurement, type QuickMeasurement } from './yardstick.js';
import { GaussianMixtureModel } from '../../models/gaussian-mixture.js';
import { chooseDevice } from '../../runtime/device.js';
import { binding } from '../../runtime/native/index.js';
import { silent, type JobObserver } from '../progress.js';
import { quadratic } from '../../rewards/quadratic.js';
import { spreadOf, type Spread } from '../../training/statistics.js';
import type { Tensor } from '../../runtime/native/tensor.js';
import type { Evaluations } from '../../training/metrics.js';
import { Trainer } from '../../training/trainer.js';

/** The cost of training alone, up to a step. */
export interface TrainingCost extends Evaluations {
  /** On the wall. */
  seconds: number;
}

/** A point of a learning curve. */
export interface CurvePoint extends QuickMeasurement, TrainingCost {
  /** Training steps so far. */
  step: number;
}

/** One seed's run: the fine-tuned model after the last step, and the way there. */
export interface FidelityRun extends FidelityMeasurement, TrainingCost {
  /** The seed that training had. */
  seed: number;
  /** From step 0 to the last. */
  curve: CurvePoint[];
}

/** Mean and standard deviation over the seeds of every figure. */
export type FidelitySummary = {
  [Figure in Exclude<keyof FidelityMeasurement | keyof TrainingCost, 'modeWeights' | 'rewardError'>]: Spread;
} & {
  /** One for each mode of the target. */
  modeWeights: Spread[];
};

/** What {@link fidelity} returns. */
export interface FidelityResult {
  /** As given, with what it left out filled in. */
  problem: Problem;
  /** The settings, with what they left out filled in. */
  settings: FidelitySettings;
  /** In closed form; `target` is the tilted mixture itself. */
  exact: {
    /** E[r] under the target p*(x) ∝ p_pre(x) e^{λ r(x)}. */
    reward: number;
    /** The weights of the target's modes; they sum to 1. */
    modeWeights: readonly number[];
    /** E[r] under the data, before any tilt. */
    pretrainedReward: number;
    /** The target's modes, each a Gaussian with a diagonal covariance. */
    target: {
      /** One a mode, each with the problem's dimensions. */
      means: readonly (readonly number[])[];
      /** The diagonals, in the same layout. */
      variances: readonly (readonly number[])[];
    };
  };
  /** Samples of the model before training. */
  pretrained: FidelityMeasurement;
  /** A second set of exact samples: what a perfect model would read. */
  floor: FidelityMeasurement;
  /** One a seed. */
  runs: FidelityRun[];
  /** Over the runs. */
  summary: FidelitySummary;
}

/** Options of {@link fidelity}. */
export interface FidelityOptions {
  /** From {@link readProblem}, or written out. */
  problem: Problem;
  /** How to train and measure; what is left out has the default that {@link FidelitySettings} states. */
  settings: z.input<typeof fidelitySchema>;
  /** Told of every step. */
  observer?: JobObserver | undefined;
  /** Stops between network evaluations. */
  signal?: AbortSignal | undefined;
}

const optionsSchema = z.strictObject({
  problem: objectWith('a problem, such as readProblem gives', 'means', 'std', 'reward', 'lambda'),
  settings: z.object({}),
  observer: objectWith('an observer with begin, advance, note and end', 'begin', 'advance', 'note', 'end').optional(),
  signal: abortSignal.optional(),
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
  const { problem, settings, observer = silent, signal } = options;
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
    const setup = { problem, settings: checked, yardstick, observer, signal };
    const pretrained = await measurePretrained(setup);
    const runs: FidelityRun[] = [];
    for (const seed of checked.seeds) runs.push(await run(setup, seed, pretrained));
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
}

async function run(
  { problem, settings, yardstick, observer, signal }: Setup,
  seed: number,
  start: QuickMeasurement,
): Promise<FidelityRun> {
  const { steps, evaluateEvery, sampling } = settings;
  using model = newModel(problem, settings, seed);
  const trainer = new Trainer({
    model,
    reward: quadratic(problem.reward),
    prompts: [model.name],
    algorithm: createAlgorithm(settings.algorithm),
    optimizer: settings.optimizer,
    batch: settings.batch,
    seed,
  });
  const draw = (count: number): Promise<Tensor> =>
    drawLatents(model, {
      ...drawOptions(settings, seed + 1, signal),
      count,
      weights: 'trained',
      average: trainer.averaging,
    });

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
    return { seed, ...(await measured(yardstick, draw(sampling.count))), ...cost, curve };
  } finally {
    observer.end();
  }
}

async function measurePretrained({ problem, settings, yardstick, signal }: Setup): Promise<FidelityMeasurement> {
  using model = newModel(problem, settings, 0);
  return await measured(
    yardstick,
    drawLatents(model, { ...drawOptions(settings, 0, signal), count: settings.sampling.count, weights: 'pretrained' }),
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

async function measured(yardstick: Yardstick, drawn: Promise<Tensor>): Promise<FidelityMeasurement> {
  using samples = await drawn;
  return await yardstick.measure(samples);
}

function newModel(
  { means, std, weights }: Problem,
  { network, device }: FidelitySettings,
  seed: number,
): GaussianMixtureModel {
  return new GaussianMixtureModel({ means, std, weights, ...network }, { seed: BigInt(seed), device });
}

function withLambda(settings: z.input<typeof fidelitySchema>, lambda: number): unknown {
  const { algorithm } = settings;
  if (algorithm.lambda !== undefined && algorithm.lambda !== lambda) {
    throw new ConfigError(
      `algorithm.lambda: got ${algorithm.lambda}, but the problem's lambda is ${lambda}: change it there`,
    );
  }
  return { ...settings, algorithm: { ...algorithm, lambda } };
}

function summarise(runs: readonly FidelityRun[]): FidelitySummary {
  const figure = (read: (run: FidelityRun) => number): Spread => spreadOf(runs.map(read));
  return {
    reward: figure((run) => run.reward),
    modeWeights: runs[0]!.modeWeights.map((_, mode) => figure((run) => run.modeWeights[mode]!)),
    mmdSquared: figure((run) => run.mmdSquared),
    slicedWasserstein: figure((run) => run.slicedWasserstein),
    kl: figure((run) => run.kl),
    forwards: figure((run) => run.forwards),
    vjps: figure((run) => run.vjps),
    backwards: figure((run) => run.backwards),
    seconds: figure((run) => run.seconds),
  };
}
