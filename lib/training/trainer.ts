import { dirname, resolve } from 'node:path';

import { z } from 'zod';

import type { Algorithm } from './algorithms.js';
import { cancellable } from '../runtime/cancellation.js';
import { listCheckpoints, verifyCheckpoint, writeCheckpoint, type Checkpoint } from '../files/checkpoints.js';
import { checkpointsSchema, optimizerSchema, type OptimizerOptions } from './settings.js';
import { promptsSchema } from '../schema/prompts.js';
import { validate } from '../schema/validate.js';
import { EpochOrder } from './epochs.js';
import { CheckpointError, ConfigError, NonFiniteError, suppress } from '../errors.js';
import { checkAdapter } from '../models/adapters/adapter.js';
import type { Model } from '../models/model.js';
import type { NativeAlgorithm, NativeOptimizer, NativeStepMetrics } from '../runtime/native/binding.js';
import { binding } from '../runtime/native/index.js';
import { score, type ArrayScore, type Reward } from '../rewards/reward.js';
import { disposeAll } from '../files/safetensors.js';
import { sampleImages, type SampleOptions } from './sampler.js';
import { learningRateAt } from './schedule.js';
import { spreadOf } from './statistics.js';
import type { Tensor } from '../runtime/tensor.js';
import { averagedWeights, fingerprint, readTrainingState, writeTrainingState } from './state.js';

/** What {@link TrainerOptions} say in numbers. */
export const settingsSchema = z.strictObject({
  prompts: promptsSchema,
  optimizer: optimizerSchema,
  batch: z.int().min(1).default(32),
  seed: z
    .bigint()
    .min(0n)
    .max(2n ** 64n - 1n),
  checkpoints: z.strictObject({ directory: z.string().min(1), ...checkpointsSchema.shape }).optional(),
  nonFinite: z
    .strictObject({ fraction: z.number().min(0).max(1).default(0.5), patience: z.int().min(1).default(5) })
    .prefault({}),
});

/** Where and how often a {@link Trainer} writes checkpoints. */
export interface CheckpointOptions {
  /** Each is written aside and renamed to `step-N` in here: it is whole or not there. */
  directory: string;
  /** Steps between checkpoints, at least 1; one is always written at the end. @defaultValue 100 */
  every?: number | undefined;
  /** How many of the newest are kept, at least 1. @defaultValue 2 */
  keep?: number | undefined;
}

/** Of a {@link Trainer}. */
export interface TrainerOptions {
  /** Loaded with an adapter: only the adapter is trained. */
  model: Model;
  /** What images are trained towards; {@link combine} makes one of several. */
  reward: Reward;
  /** Drawn in a shuffled order, each once before any comes again. */
  prompts: readonly string[];
  /** What the rollout's guidance leads away from, where the model knows such prompts; default: no prompt. */
  negativePrompt?: string | undefined;
  /** {@link eam} or {@link adjointMatching}. */
  algorithm: Algorithm;
  /** AdamW; only `learningRate` has no default. */
  optimizer: OptimizerOptions;
  /** Samples a step; default 32. */
  batch?: number | undefined;
  /** Determines everything random; default 0. */
  seed?: number | bigint | undefined;
  /** Without it nothing is written. */
  checkpoints?: CheckpointOptions | undefined;
  /**
   * The run stops with NonFiniteError after `patience` (5) steps in a row in which more than `fraction` (0.5) of the
   * samples were dropped or the update was skipped, because a reward, gradient or loss was not finite.
   */
  nonFinite?:
    | {
        /** 0 to 1. @defaultValue 0.5 */
        fraction?: number | undefined;
        /** Steps, at least 1. @defaultValue 5 */
        patience?: number | undefined;
      }
    | undefined;
}

/** Network evaluations: one sample at one time is one. */
export interface Evaluations {
  /** Velocities, with a way back or without. */
  forwards: number;
  /** Vector–Jacobian products with respect to the network's input. */
  vjps: number;
  /** Ways back to the trained tensors. */
  backwards: number;
}

/** What {@link Trainer.run} yields after each step. */
export interface StepMetrics extends Evaluations {
  /** Steps done, this one included. */
  step: number;
  /** Mean over the batch, before λ. */
  reward: number;
  /** Standard deviation over the batch, before λ. */
  rewardStd: number;
  /** Mean of each reward of a combined one, unweighted. */
  rewards: Record<string, number>;
  /** The same times their weights: what adds up to `reward`. */
  weightedRewards: Record<string, number>;
  /** How many values of which reward were not finite; left out where all were. */
  nonFiniteRewards?: Record<string, number>;
  /** Of the algorithm, mean over the samples that were kept. */
  loss: number;
  /** Of the trained tensors together, before it was clipped. */
  gradNorm: number;
  /** Of this step, warm-up and decay in it. */
  learningRate: number;
  /** Samples left out because a reward, gradient or loss was not finite. */
  dropped: number;
  /** Samples whose reward gradient was clipped. */
  clipped: number;
  /** Terms of the loss that reached their cap. */
  capped: number;
  /** Whether the update was left out, because its gradient was not finite or every sample was dropped. */
  skipped: boolean;
  /** Mean over the samples of ‖∇r‖, as the reward gave it. */
  rewardGradientNorm: number;
  /** Mean over the samples of ‖∇ log p_pre‖ at the endpoint; 0 for an algorithm that takes none. */
  scoreNorm: number;
  /** Of this step. */
  seconds: number;
  /** Since the first step, interruptions left out. */
  total: Evaluations & {
    /** On the wall. */
    seconds: number;
  };
}

const noEvaluations = { forwards: 0, vjps: 0, backwards: 0, seconds: 0 };

/** Which rewards made samples drop, for a message. */
function blame(nonFinite: StepMetrics['nonFiniteRewards'] = {}): string {
  const counts = Object.entries(nonFinite).map(([name, count]) => `"${name}" gave ${count}`);
  return counts.length ? `; of values that are not finite, ${counts.join(', ')}` : '';
}

/**
 * Fine-tunes a model's adapter towards a reward.
 *
 *     const trainer = new Trainer({ model, reward, prompts, algorithm: eam(), optimizer: { learningRate: 1e-3 } });
 *     for await (const step of trainer.run({ steps: 100 })) console.log(step.reward);
 */
export class Trainer {
  readonly #options: TrainerOptions;
  readonly #settings: z.output<typeof settingsSchema>;
  readonly #order: EpochOrder;
  readonly #algorithm: NativeAlgorithm;
  readonly #optimizer: NativeOptimizer;
  #step = 0;
  #saved = -1;
  #badInARow = 0;
  #last: StepMetrics | undefined;
  /** Where this run's own checkpoints are, from the first that was read or written. */
  #home: string | undefined;
  #total = { ...noEvaluations };
  #running = false;
  /** Why a step that failed could not be undone: the state is then of no step. */
  #broken: Error | undefined;

  /** @throws ConfigError for settings out of range or a model without an adapter */
  constructor(options: TrainerOptions) {
    const { prompts, optimizer, batch, checkpoints, nonFinite } = options;
    this.#settings = validate(
      settingsSchema,
      { prompts, optimizer, batch, checkpoints, nonFinite, seed: BigInt(options.seed ?? 0) },
      'trainer options',
    );
    this.#options = options;
    this.#order = new EpochOrder(prompts.length, this.#settings.seed);
    this.#algorithm = options.algorithm.create(options.model);
    const { betas, epsilon, weightDecay, emaDecay } = this.#settings.optimizer;
    this.#optimizer = new (binding().AdamW)(options.model.native, {
      beta1: betas[0],
      beta2: betas[1],
      epsilon,
      weightDecay,
      emaDecay,
    });
  }

  /** Steps done. */
  get step(): number {
    return this.#step;
  }

  /** Metrics of the last step done, a resumed run's included: it may have stopped before they were recorded. */
  get last(): StepMetrics | undefined {
    return this.#last;
  }

  /**
   * Trains until `steps` steps are done in all (those before a resume included), and yields after each. A checkpoint
   * is written every so many steps, after the loop's body; at the end; and whenever the run stops before: on abort, on
   * an error, and when the loop is left.
   *
   * @throws the signal's reason when aborted; NonFiniteError; EamError with code ERR_EAM_REWARD for a reward that fails;
   *   CheckpointError where a checkpoint cannot be written, or the directory holds those of another run.
   *   What fails on the way out, such as the last checkpoint, is in the error's `suppressed`
   */
  async *run({
    steps,
    signal,
  }: {
    steps: number;
    signal?: AbortSignal | undefined;
  }): AsyncGenerator<StepMetrics, void, void> {
    if (this.#running) throw new ConfigError('run: this trainer is already running');
    this.#running = true;
    let failed = false;
    try {
      this.#refuseBroken();
      await this.#refuseOtherRuns();
      await this.#options.model.prepare(this.#options.prompts, {
        negativePrompt: this.#options.negativePrompt,
        signal,
      });
      while (this.#step < steps) {
        const metrics = await this.#advance(steps, signal);
        const { patience, fraction } = this.#settings.nonFinite;
        const bad = metrics.skipped || metrics.dropped > fraction * this.#settings.batch;
        this.#badInARow = bad ? this.#badInARow + 1 : 0;
        // First of all, so that whoever consumes the step can record it: a record that came after the checkpoint would
        // be missing where a run is killed between the two.
        yield metrics;
        if (this.#badInARow >= patience) {
          throw new NonFiniteError(
            `rewards, gradients or losses were not finite for ${this.#badInARow} steps in a row, up to step ${this.#step}; ` +
              `${metrics.dropped} of ${this.#settings.batch} samples of the last one were dropped${blame(metrics.nonFiniteRewards)}`,
          );
        }
        if (this.#settings.checkpoints && this.#step % this.#settings.checkpoints.every === 0) await this.save();
      }
    } catch (error) {
      failed = true;
      // A failure on the way out must not hide the one that led here.
      await this.save().catch((failure: unknown) => suppress(error, failure));
      throw error;
    } finally {
      this.#running = false;
      // At the end, and where the loop is left.
      if (!failed) await this.save();
    }
  }

  /** One image a prompt from the fine-tuned model, with averaged weights where the optimizer averages. */
  sample(options: Omit<SampleOptions, 'average'>): Promise<Tensor> {
    return sampleImages(this.#options.model, { ...options, average: this.averaging });
  }

  /** What to sample with, where the optimizer averages. */
  get averaging(): NativeOptimizer | undefined {
    return this.#settings.optimizer.emaDecay > 0 ? this.#optimizer : undefined;
  }

  /** Writes a checkpoint of the last complete step, unless there is one. */
  async save(): Promise<Checkpoint | undefined> {
    const { checkpoints } = this.#settings;
    if (!checkpoints || this.#saved === this.#step) return undefined;
    this.#refuseBroken();
    await this.#refuseOtherRuns();
    const written = await writeCheckpoint(checkpoints.directory, this.#step, checkpoints.keep, (directory) =>
      this.#write(directory),
    );
    this.#saved = this.#step;
    this.#home = resolve(checkpoints.directory);
    return written;
  }

  /** Goes on from a checkpoint. @throws CheckpointError if it is damaged or of another run, such as one of another batch */
  async resume(directory: string): Promise<void> {
    const { native, adapter } = this.#options.model;
    if (adapter) await checkAdapter(directory, adapter);
    const load = async (weights: Record<string, Tensor>) => {
      await native.load('trainable', weights);
      this.#broken = new Error(`${directory} was loaded in part`);
    };
    const { seed, batch } = this.#settings;
    const state = await readTrainingState(directory, { seed, batch, source: this.#source }, load, this.#optimizer);
    this.#algorithm.load(state.algorithm);
    this.#step = this.#saved = state.step;
    this.#badInARow = state.badInARow;
    this.#total = { ...noEvaluations, ...state.totals };
    this.#broken = undefined;
    this.#home = resolve(dirname(directory));
    this.#last = (state.last ?? undefined) as StepMetrics | undefined;
  }

  get #source(): string {
    return fingerprint(this.#settings.prompts);
  }

  #refuseBroken(): void {
    if (!this.#broken) return;
    throw new CheckpointError(
      `the state is of no step: ${this.#broken.message}; go on from a checkpoint with trainer.resume(…)`,
      { cause: this.#broken },
    );
  }

  /**
   * A run that starts anew, or goes on from before the newest whole checkpoint, would mix its checkpoints with those of
   * another, make room among them, and leave it to chance from which of the two a killed run is resumed.
   */
  async #refuseOtherRuns(): Promise<void> {
    const { checkpoints } = this.#settings;
    if (!checkpoints) return;
    const all = await listCheckpoints(checkpoints.directory);
    const own = this.#home === resolve(checkpoints.directory);
    for (const { step, directory } of all.reverse()) {
      if (own && step <= this.#step) return;
      // A resumed run has passed over the damaged ones.
      if (own && !(await verifyCheckpoint(directory).catch(() => undefined))) continue;
      throw new CheckpointError(
        `checkpoints.directory: ${checkpoints.directory} holds checkpoints of an earlier run; go on from one with ` +
          `trainer.resume('${directory}'), name another directory, or remove it`,
      );
    }
  }

  async #advance(steps: number, signal: AbortSignal | undefined): Promise<StepMetrics> {
    const start = performance.now();
    const { batch, optimizer, seed } = this.#settings;
    const { model, prompts, negativePrompt } = this.#options;
    const drawn = Array.from(this.#order.slice(this.#step * batch, batch), (index) => prompts[index]!);
    const before = this.#algorithm.state();
    const conditioning = await model.encode(drawn);
    const unconditional =
      this.#options.algorithm.guidance === 1 ? undefined : await model.unconditional(batch, negativePrompt);
    try {
      const rollout = await cancellable(signal, (cancellation) =>
        this.#algorithm.rollout({
          conditioning,
          ...(unconditional && { unconditional }),
          shape: [batch, ...model.latentShape],
          seed,
          step: this.#step,
          cancellation,
        }),
      );
      try {
        const scored = await score(this.#options.reward, rollout.images, drawn, { gradient: true });
        let native: NativeStepMetrics;
        try {
          native = await cancellable(signal, (cancellation) =>
            this.#algorithm.accumulate(rollout, scored.values, scored.grad!, cancellation),
          );
        } finally {
          scored.grad!.dispose();
        }
        const learningRate = learningRateAt(optimizer, this.#step, steps);
        // With every sample dropped before its backward pass there is no gradient.
        const { gradNorm, skipped } =
          native.backwards === 0
            ? { gradNorm: 0, skipped: true }
            : await this.#optimizer.step(learningRate, optimizer.clip);
        this.#step++;
        return this.#measure(native, scored, {
          gradNorm,
          skipped,
          learningRate,
          seconds: (performance.now() - start) / 1000,
        });
      } finally {
        rollout.dispose();
      }
    } catch (error) {
      await this.#undo(before).catch((failure: Error) => {
        this.#broken = new Error(`step ${this.#step + 1} failed and could not be undone (${failure.message})`, {
          cause: failure,
        });
        suppress(error, failure);
      });
      throw error;
    } finally {
      disposeAll(conditioning);
      if (unconditional) disposeAll(unconditional);
    }
  }

  /** Forgets a step that stopped halfway, so that the run can go on from the last complete one. */
  async #undo(algorithm: Record<string, number[]>): Promise<void> {
    this.#algorithm.load(algorithm);
    const state = this.#optimizer.state();
    try {
      // Loading clears the gradients that were added.
      await this.#optimizer.load(state, this.#optimizer.stepCount);
    } finally {
      disposeAll(state);
    }
  }

  #measure(
    native: NativeStepMetrics,
    scored: Omit<ArrayScore, 'grad'>,
    update: Pick<StepMetrics, 'gradNorm' | 'skipped' | 'learningRate' | 'seconds'>,
  ): StepMetrics {
    const { loss, dropped, clipped, capped, forwards, vjps, backwards, rewardGradientNorm, scoreNorm } = native;
    this.#total = {
      forwards: this.#total.forwards + forwards,
      vjps: this.#total.vjps + vjps,
      backwards: this.#total.backwards + backwards,
      seconds: this.#total.seconds + update.seconds,
    };
    const reward = spreadOf(scored.values);
    const parts = scored.parts ?? { [this.#options.reward.name]: scored.values };
    const nonFinite = Object.entries(parts).flatMap(([name, values]) => {
      const count = values.filter((value) => !Number.isFinite(value)).length;
      return count ? [[name, count] as const] : [];
    });
    const means = Object.entries(parts).map(([name, values]) => [name, spreadOf(values).mean] as const);
    this.#last = {
      step: this.#step,
      reward: reward.mean,
      rewardStd: reward.std,
      rewards: Object.fromEntries(means),
      weightedRewards: Object.fromEntries(means.map(([name, mean]) => [name, (scored.weights?.[name] ?? 1) * mean])),
      ...(nonFinite.length && { nonFiniteRewards: Object.fromEntries(nonFinite) }),
      loss,
      dropped,
      clipped,
      capped,
      forwards,
      vjps,
      backwards,
      rewardGradientNorm,
      scoreNorm,
      ...update,
      total: this.#total,
    };
    return this.#last;
  }

  async #write(directory: string): Promise<void> {
    const { model } = this.#options;
    const weights = model.native.trainable();
    const averaged = averagedWeights(this.#optimizer);
    try {
      await model.saveAdapter(directory, averaged ?? weights);
      const state = {
        step: this.#step,
        seed: String(this.#settings.seed),
        position: this.#step * this.#settings.batch,
        source: this.#source,
        badInARow: this.#badInARow,
        last: this.#last ? { ...this.#last } : null,
        algorithm: this.#algorithm.state(),
        totals: this.#total,
      };
      await writeTrainingState(directory, state, weights, this.#optimizer);
    } finally {
      disposeAll(weights);
      if (averaged) disposeAll(averaged);
    }
  }
}
