import { mkdir, readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { isDeepStrictEqual } from 'node:util';

import { createAlgorithm } from '../../training/algorithms.js';
import type { Budget, CompareConfig, Contender } from './config.js';
import { loadConfiguredModel } from '../config/model.js';
import { DriftProbe } from '../../training/drift.js';
import { ConfigError, NonFiniteError } from '../../errors.js';
import { measure, type Measurement } from '../../training/evaluation.js';
import type { Model } from '../../models/model.js';
import type { JobObserver } from '../progress.js';
import type { Judge, Reward } from '../../rewards/reward.js';
import { RunDirectory } from '../run-directory.js';
import { disposeAll } from '../../files/safetensors.js';
import { cyclePrompts, encodeGrid, sampleImages } from '../../training/sampler.js';
import { Trainer, type StepMetrics } from '../../training/trainer.js';
import { averagedWeights } from '../../training/state.js';
import type { Baseline, CurvePoint, RunResult } from './results.js';

/** What all runs of a comparison share. */
export interface Bench {
  config: CompareConfig;
  reward: Reward;
  judge: Judge | undefined;
  observer: JobObserver;
  signal: AbortSignal | undefined;
}

/** One run to be made. */
export interface RunPlan {
  contender: Contender;
  seed: number;
  learningRate: number;
  budget: Budget;
  /** Measurements on the way, the last one after the last step. */
  points: number;
  /** Whether to evaluate at the end, and to keep the adapter and a grid of samples. */
  whole: boolean;
}

export async function openModel({ config }: Bench, seed: number): Promise<Model> {
  return loadConfiguredModel(config, { seed: BigInt(seed) });
}

/** Everything that decides a run, with defaults filled in. */
function settingsOf(
  { config }: Bench,
  { contender, seed, learningRate, budget, points, whole }: RunPlan,
): RunResult['settings'] {
  const {
    model,
    device,
    dtype,
    adapter,
    image,
    checkpointing,
    textLength,
    negativePrompt,
    prompts,
    rewards,
    tracking,
    evaluation,
  } = config;
  const { points: _, ...trackingSet } = tracking;
  const settings = {
    model,
    device,
    dtype,
    adapter,
    image,
    checkpointing,
    textLength,
    negativePrompt,
    prompts,
    rewards,
    seed,
    budget,
    points,
    algorithm: contender.algorithm,
    optimizer: { ...(contender.optimizer ?? config.optimizer), learningRate },
    batch: contender.batch ?? config.batch,
    tracking: { ...trackingSet, judge: evaluation.judge },
    ...(whole && { evaluation }),
  };
  return JSON.parse(JSON.stringify(settings)) as RunResult['settings'];
}

/**
 * The result of a run that was finished earlier in `directory`, if there is one.
 * @throws ConfigError if it was made with other settings
 */
export async function finishedRun(bench: Bench, plan: RunPlan, directory: string): Promise<RunResult | undefined> {
  const path = join(directory, 'result.json');
  const text = await readFile(path, 'utf8').catch((error: NodeJS.ErrnoException) => {
    if (error.code === 'ENOENT') return undefined;
    throw error;
  });
  if (text === undefined) return undefined;
  let result: RunResult;
  try {
    result = JSON.parse(text) as RunResult;
  } catch (error) {
    throw new ConfigError(`${path} is not valid JSON; remove ${directory} to run it again`, { cause: error });
  }
  const settings = settingsOf(bench, plan);
  const changed = Object.keys({ ...settings, ...result.settings }).filter(
    (key) => !isDeepStrictEqual(settings[key], result.settings?.[key]),
  );
  if (changed.length) {
    throw new ConfigError(
      `${path} is of a run with other settings (${changed.join(', ')}); remove ${directory} to run it again, or take another --output`,
    );
  }
  return result;
}

/**
 * Fine-tunes the model as one contender does, measuring on the way, and writes the result into `directory`.
 * A run whose rewards, gradients or losses stop being finite is a result, too.
 * @throws the signal's reason when aborted: nothing of the run is kept
 */
export async function makeRun(
  bench: Bench,
  plan: RunPlan,
  baseline: Baseline,
  steps: number,
  directory: string,
): Promise<RunResult> {
  await mkdir(directory, { recursive: true });
  using model = await openModel(bench, plan.seed);
  return await new ComparedRun(bench, plan, baseline, steps, RunDirectory.existing(directory), model).run();
}

/** How many network evaluations one step of a contender makes. */
export async function evaluationsPerStep(bench: Bench, contender: Contender): Promise<number> {
  using model = await openModel(bench, 0);
  const trainer = createTrainer(bench, { contender, learningRate: 1e-9, seed: 0 }, model);
  for await (const { forwards, vjps, backwards } of trainer.run({ steps: 1, signal: bench.signal }))
    return forwards + vjps + backwards;
  throw new Error('a run of one step made none');
}

function createTrainer(
  { config, reward }: Bench,
  { contender, learningRate, seed }: Pick<RunPlan, 'contender' | 'learningRate' | 'seed'>,
  model: Model,
): Trainer {
  return new Trainer({
    model,
    reward,
    prompts: config.prompts,
    negativePrompt: config.negativePrompt,
    algorithm: createAlgorithm(contender.algorithm),
    optimizer: { ...(contender.optimizer ?? config.optimizer), learningRate },
    batch: contender.batch ?? config.batch,
    seed,
  });
}

/** The tracking set or the evaluation set, measured with the judge. */
export function measureSet(
  { config, reward, judge, signal }: Bench,
  model: Model,
  set: 'tracking' | 'evaluation',
  trainer?: Trainer,
): Promise<Measurement> {
  const { count, steps, solver, guidance, batch, seed } = config[set];
  const { prompts, negativePrompt } = config;
  const options = {
    reward,
    judge,
    prompts,
    negativePrompt,
    count,
    seed: BigInt(seed),
    steps,
    solver,
    guidance,
    batch,
    signal,
  };
  return measure(model, { ...options, average: trainer?.averaging }, trainer ? 'trained' : 'pretrained');
}

/** A grid of samples as a PNG, of the pretrained model where there is no trainer. */
export async function drawGrid({ config, signal }: Bench, model: Model, trainer?: Trainer): Promise<Uint8Array> {
  const { count, columns, steps, solver, guidance, batch, seed } = config.samples;
  const images = await sampleImages(model, {
    prompts: cyclePrompts(config.prompts, count),
    seed: BigInt(seed),
    steps,
    solver,
    guidance,
    batch,
    signal,
    negativePrompt: config.negativePrompt,
    weights: trainer ? 'trained' : 'pretrained',
    average: trainer?.averaging,
  });
  try {
    return await encodeGrid(images, columns);
  } finally {
    images.dispose();
  }
}

class ComparedRun {
  readonly #trainer: Trainer;
  readonly #points: CurvePoint[];
  #batchRewards: number[] = [];

  constructor(
    private readonly bench: Bench,
    private readonly plan: RunPlan,
    baseline: Baseline,
    private readonly steps: number,
    private readonly directory: RunDirectory,
    private readonly model: Model,
  ) {
    this.#trainer = createTrainer(bench, plan, model);
    const cost = { step: 0, forwards: 0, vjps: 0, backwards: 0, evaluations: 0, seconds: 0 };
    this.#points = [{ ...cost, ...measuresOf(baseline.tracking), drift: 0 }];
  }

  async run(): Promise<RunResult> {
    const { plan, directory, bench } = this;
    // What an interrupted attempt left.
    await directory.rewindMetrics(0);
    const failure = await this.#train();
    const whole = plan.whole && failure === undefined;
    const final = whole ? await measureSet(bench, this.model, 'evaluation', this.#trainer) : undefined;
    if (whole) await this.#keep();
    const result: RunResult = {
      contender: plan.contender.name,
      seed: plan.seed,
      learningRate: plan.learningRate,
      settings: settingsOf(bench, plan),
      points: this.#points,
      ...(failure !== undefined && { failure }),
      ...(final && { final }),
    };
    // Last: a directory with a result is a finished run.
    await directory.write('result.json', `${JSON.stringify(result, null, 2)}\n`);
    return result;
  }

  /** Why the run could not be trained to its end, if it could not. */
  async #train(): Promise<string | undefined> {
    const { bench, steps } = this;
    const { observer, config, signal } = bench;
    const probe = await DriftProbe.create(this.model, {
      prompts: cyclePrompts(config.prompts, Math.min(32, this.model.sampling.batch)),
      seed: BigInt(config.tracking.seed),
      steps: config.tracking.steps,
    });
    observer.begin(steps, 0);
    try {
      for await (const metrics of this.#trainer.run({ steps, signal })) {
        await this.directory.appendMetrics(metrics);
        this.#batchRewards.push(metrics.reward);
        if (this.#isMeasured(metrics.step)) await this.#measure(metrics, probe);
        observer.advance(
          metrics.step,
          { reward: this.#points.at(-1)!.reward, batch: metrics.reward },
          metrics.forwards + metrics.vjps + metrics.backwards,
        );
      }
      return undefined;
    } catch (error) {
      if (error instanceof NonFiniteError) return error.message;
      throw error;
    } finally {
      observer.end();
      probe.dispose();
    }
  }

  /** Point p of P is measured after step round(p · steps / P). */
  #isMeasured(step: number): boolean {
    const { steps } = this;
    const points = Math.min(this.plan.points, steps);
    const nearest = Math.round((step * points) / steps);
    return nearest >= 1 && Math.round((nearest * steps) / points) === step;
  }

  async #measure({ step, total }: StepMetrics, probe: DriftProbe): Promise<void> {
    const measured = await measureSet(this.bench, this.model, 'tracking', this.#trainer);
    if (!Number.isFinite(measured.reward.mean)) {
      throw new NonFiniteError(`no sample of the tracking set has a finite reward after step ${step}`);
    }
    const { forwards, vjps, backwards, seconds } = total;
    const finite = this.#batchRewards.filter(Number.isFinite);
    this.#points.push({
      step,
      forwards,
      vjps,
      backwards,
      evaluations: forwards + vjps + backwards,
      seconds,
      ...measuresOf(measured),
      ...(finite.length && { batchReward: finite.reduce((sum, reward) => sum + reward, 0) / finite.length }),
      drift: await probe.measure(),
    });
    this.#batchRewards = [];
  }

  async #keep(): Promise<void> {
    const grid = await drawGrid(this.bench, this.model, this.#trainer);
    await this.directory.writeSamples(this.#trainer.step, grid);
    const averaged = this.#trainer.averaging && averagedWeights(this.#trainer.averaging);
    try {
      await this.model.saveAdapter(this.directory.path, averaged);
    } finally {
      if (averaged) disposeAll(averaged);
    }
  }
}

const measuresOf = ({ reward, rewards, accuracy }: Measurement) => ({
  reward: reward.mean,
  rewards: Object.fromEntries(Object.entries(rewards).map(([name, { mean }]) => [name, mean])),
  ...(accuracy !== undefined && { accuracy }),
});
