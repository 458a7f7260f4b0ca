import { z } from 'zod';

import { CheckpointError, ConfigError, NonFiniteError, suppress } from '../errors.js';
import type { Checkpoint } from '../files/checkpoints.js';
import { originOf } from '../files/origin.js';
import { disposeAll } from '../files/safetensors.js';
import { checkAdapter } from '../models/adapter-files.js';
import { refuseWideAdapter } from '../models/adapters/adapter.js';
import type { PrepareOptions } from '../models/model.js';
import { refuseChangedReward, rewardIdentity } from '../rewards/identity.js';
import { hasGradient, type ArrayScore } from '../rewards/reward.js';
import { abortSignal, callback, checkOptions, checkText } from '../schema/options.js';
import { validate } from '../schema/validate.js';
import { cancellable } from '../runtime/cancellation.js';
import type { NativeAlgorithm, NativeOptimizer, NativeStepMetrics } from '../runtime/native/binding.js';
import { binding } from '../runtime/native/index.js';
import type { Tensor } from '../runtime/native/tensor.js';
import { algorithmIdentity, belongings, modelIdentity, type Belonging, type BelongsTo } from './belonging.js';
import type { EndpointBuffer } from './endpoint-buffer.js';
import { endpointsDirectory as defaultDirectory, openEndpoints } from './endpoints.js';
import { EpochOrder } from './epochs.js';
import { addTotals, noTotals, rewardMetrics, type StepMetrics } from './metrics.js';
import { OwnCheckpoints } from './own-checkpoints.js';
import { sampleImages, type SampleOptions } from './sampler.js';
import { CurrentSamples, type Conditions, type SampleSource, type ScoredBatch } from './samples.js';
import { learningRateAt } from './schedule.js';
import { adamWOptions } from './settings.js';
import { StageClock } from './stage-clock.js';
import { averagedWeights, fingerprint, readTrainingState, writeTrainingState } from './state.js';
import { readTrainerSettings, type TrainerOptions, type TrainerSettings } from './trainer-options.js';
import { refuseValueOnly } from './value-only.js';

const prepareShape = { onNote: callback, onProgress: callback, onEndpoint: callback, signal: abortSignal };
const runSchema = z.strictObject({ steps: z.int().min(0), signal: abortSignal.optional() });

/** These are the options of {@link Trainer.prepare}. */
export interface PrepareRunOptions extends Omit<PrepareOptions, 'negativePrompt'> {
  /** It is told of the pretrained model's endpoints that are drawn, where any are: `done` of `total`. */
  onEndpoint?: ((done: number, total: number) => void) | undefined;
}

/** These are the options of {@link Trainer.resume}. */
export interface ResumeOptions {
  /** These may be others than the checkpoint's run had; default: none. */
  allow?: readonly Belonging[] | undefined;
}

/**
 * Fine-tunes a model's adapter towards a reward.
 *
 *     const trainer = new Trainer({ model, reward, prompts, algorithm: eam(), optimizer: { learningRate: 1e-3 } });
 *     for await (const step of trainer.run({ steps: 100 })) console.log(step.reward);
 */
export class Trainer {
  readonly #options: TrainerOptions;
  readonly #settings: TrainerSettings;
  readonly #order: EpochOrder;
  readonly #algorithm: NativeAlgorithm;
  readonly #optimizer: NativeOptimizer;
  readonly #checkpoints: OwnCheckpoints | undefined;
  #step = 0;
  #badInARow = 0;
  #last: StepMetrics | undefined;
  #total = noTotals;
  #running = false;
  #belongsTo: Promise<BelongsTo> | undefined;
  #samples: SampleSource | undefined;
  #endpoints: EndpointBuffer | undefined;
  /** Why a step that failed could not be undone: the weights are then between two steps. */
  #broken: Error | undefined;

  /** @throws ConfigError for settings out of range or a model without an adapter */
  constructor(options: TrainerOptions) {
    this.#options = options;
    this.#settings = readTrainerSettings(options);
    const { seed, checkpoints, optimizer } = this.#settings;
    refuseWideAdapter(options.model);
    this.#order = new EpochOrder(options.prompts.length, seed);
    this.#checkpoints = checkpoints && new OwnCheckpoints(checkpoints);
    refuseValueOnly(options.reward, options.algorithm);
    this.#algorithm = options.algorithm.create(options.model);
    this.#optimizer = new (binding().AdamW)(options.model.native, adamWOptions(optimizer));
  }

  /** How many steps are done. */
  get step(): number {
    return this.#step;
  }

  /** The metrics of the last step done, a resumed run's included: it may have stopped before they were recorded. */
  get last(): StepMetrics | undefined {
    return this.#last;
  }

  /**
   * Does what a run needs before its first step: encodes the prompts and, with `endpoints: 'pretrained'`, draws those
   * that are not there yet. `run` does it where nobody has.
   * @throws what {@link run} throws
   */
  async prepare(options: PrepareRunOptions = {}): Promise<void> {
    checkOptions(prepareShape, options, 'prepare options');
    const { model, prompts, negativePrompt, algorithm, reward } = this.#options;
    const { onNote, onProgress, onEndpoint, signal } = options;
    await model.prepare(prompts, { negativePrompt, onNote, onProgress, signal });
    if (this.#samples) return;
    if (!algorithm.endpoints) {
      this.#samples = new CurrentSamples(model, reward, this.#algorithm, this.#settings.seed, hasGradient(reward));
      return;
    }
    const { batch, seed, endpointsDirectory } = this.#settings;
    const buffer = await openEndpoints({
      model,
      reward,
      algorithm: this.#algorithm,
      stored: algorithm.endpoints,
      prompts,
      negativePrompt,
      batch,
      seed,
      directory: endpointsDirectory ?? defaultDirectory(),
      encode: (batchPrompts) => this.#encode(batchPrompts),
      observer: { onNote, onProgress: onEndpoint, signal },
    });
    if (this.#step === 0) this.#total = addTotals(this.#total, { ...buffer.cost, backwards: 0 });
    this.#endpoints = buffer;
    this.#samples = buffer;
  }

  /**
   * The share of each prompt's endpoints that carries the weight, (Σ w)²/(N Σ w²) in (0, 1], where they are the
   * pretrained model's and are there.
   */
  get effectiveShares(): Map<string, number> | undefined {
    return this.#endpoints?.effectiveShares();
  }

  /**
   * Trains until `steps` steps are done in all (those before a resume included), and yields after each. A checkpoint
   * is written every so many steps, after the loop's body; at the end; and whenever the run stops before: on abort, on
   * an error, and when the loop is left.
   *
   * @throws the signal's reason when aborted; NonFiniteError; EamError with code ERR_EAM_REWARD for a reward that
   * fails; CheckpointError where a checkpoint cannot be written, or the directory holds those of another run. What
   * fails afterwards, such as the last checkpoint, is in the error's `suppressed`
   */
  async *run(options: { steps: number; signal?: AbortSignal | undefined }): AsyncGenerator<StepMetrics, void, void> {
    validate(runSchema, options, 'run options');
    const { steps, signal } = options;
    if (this.#running) throw new ConfigError('run: this trainer is already running');
    this.#running = true;
    let failed = false;
    try {
      this.#refuseBroken();
      await this.#checkpoints?.refuseOtherRuns(this.#step);
      if (this.#checkpoints) await this.#belongings();
      await this.prepare({ signal });
      while (this.#step < steps) {
        const metrics = await this.#advance(steps, signal);
        this.#countBad(metrics);
        // First of all, so that whoever consumes the step can record it: a record that came after the checkpoint would
        // be missing where a run is killed between the two.
        yield metrics;
        this.#refuseBad(metrics);
        if (this.#checkpoints?.isDue(this.#step)) await this.save();
      }
    } catch (error) {
      failed = true;
      // A checkpoint that fails, too, must not hide the error that led here.
      await this.save().catch((failure: unknown) => suppress(error, failure));
      throw error;
    } finally {
      this.#running = false;
      // At the end, and where the loop is left.
      if (!failed) await this.save();
    }
  }

  /** Draws one image for each prompt from the fine-tuned model, with averaged weights where the optimizer averages. */
  sample(options: Omit<SampleOptions, 'average'>): Promise<Tensor> {
    return sampleImages(this.#options.model, { ...options, average: this.averaging });
  }

  /** What to sample with, where the optimizer averages. */
  get averaging(): NativeOptimizer | undefined {
    return this.#settings.optimizer.emaDecay > 0 ? this.#optimizer : undefined;
  }

  /** Writes a checkpoint of the last complete step, unless there is one. */
  async save(): Promise<Checkpoint | undefined> {
    if (!this.#checkpoints || this.#checkpoints.has(this.#step)) return undefined;
    this.#refuseBroken();
    return this.#checkpoints.write(this.#step, (directory) => this.#write(directory));
  }

  /**
   * Goes on from a checkpoint.
   * @throws CheckpointError if it is damaged or of another run, such as one of another batch or another model
   */
  async resume(directory: string, options: ResumeOptions = {}): Promise<void> {
    checkText(directory, 'directory', 'resume');
    checkOptions({ allow: z.array(z.enum(belongings)) }, options, 'resume options');
    const { allow = [] } = options;
    const { native, adapter } = this.#options.model;
    if (adapter) await checkAdapter(directory, adapter);
    const load = async (weights: Record<string, Tensor>) => {
      await native.load('trainable', weights);
      this.#broken = new Error(`${directory} was loaded in part`);
    };
    const { seed, batch } = this.#settings;
    const own = { seed, batch, belongsTo: await this.#belongings(), allow };
    const state = await readTrainingState(directory, own, load, this.#optimizer);
    this.#algorithm.load(state.algorithm);
    this.#step = state.step;
    this.#badInARow = state.badInARow;
    this.#total = { ...noTotals, ...state.totals };
    this.#last = (state.last ?? undefined) as StepMetrics | undefined;
    this.#broken = undefined;
    this.#checkpoints?.goOnFrom(directory, state.step);
  }

  /** Taken once: a file that is written to while the run computes with it makes it no other run. */
  #belongings(): Promise<BelongsTo> {
    const { model, reward, algorithm } = this.#options;
    this.#belongsTo ??= (async () => ({
      model: await modelIdentity(model),
      rewards: fingerprint(await rewardIdentity(reward)),
      algorithm: fingerprint(algorithmIdentity(algorithm)),
      data: fingerprint(this.#settings.prompts),
    }))();
    return this.#belongsTo;
  }

  #refuseBroken(): void {
    if (!this.#broken) return;
    throw new CheckpointError(
      `the weights are between two steps: ${this.#broken.message}; go on from a checkpoint with trainer.resume(…)`,
      { cause: this.#broken },
    );
  }

  #countBad({ skipped, dropped }: StepMetrics): void {
    const isBad = skipped || dropped > this.#settings.nonFinite.fraction * this.#settings.batch;
    this.#badInARow = isBad ? this.#badInARow + 1 : 0;
  }

  #refuseBad({ dropped, nonFiniteRewards = {} }: StepMetrics): void {
    if (this.#badInARow < this.#settings.nonFinite.patience) return;
    const counts = Object.entries(nonFiniteRewards).map(([name, count]) => `"${name}" gave ${count}`);
    const blame = counts.length ? `; of values that are not finite, ${counts.join(', ')}` : '';
    throw new NonFiniteError(
      `rewards, gradients or losses were not finite for ${this.#badInARow} steps in a row, up to step ${this.#step}; ` +
        `${dropped} of ${this.#settings.batch} samples of the last one were dropped${blame}`,
    );
  }

  /** Does one step, or none: what of it was done before an error is undone. */
  async #advance(steps: number, signal: AbortSignal | undefined): Promise<StepMetrics> {
    const clock = new StageClock();
    const { batch } = this.#settings;
    const prompts = Array.from(this.#order.slice(this.#step * batch, batch), (index) => this.#options.prompts[index]!);
    const before = this.#algorithm.state();
    using conditions = await this.#encode(prompts);
    try {
      const { native, batch, update } = await this.#doStep(prompts, conditions, { steps, signal, clock });
      this.#step++;
      return this.#measure(native, batch, { ...update, ...clock.read() });
    } catch (error) {
      await this.#undo(before).catch((failure: Error) => {
        this.#broken = new Error(`step ${this.#step + 1} failed and could not be undone (${failure.message})`, {
          cause: failure,
        });
        suppress(error, failure);
      });
      throw error;
    }
  }

  /** What the network is conditioned on for a batch of prompts, and without them where the rollout is guided. */
  async #encode(prompts: readonly string[]): Promise<Conditions> {
    const { model, negativePrompt, algorithm } = this.#options;
    const conditioning = await model.encode(prompts);
    const unconditional =
      algorithm.guidance === 1 ? undefined : await model.unconditional(prompts.length, negativePrompt);
    const dispose = () => disposeAll([...conditioning, ...(unconditional ?? [])]);
    return { conditioning, ...(unconditional && { unconditional }), [Symbol.dispose]: dispose };
  }

  /** Draws samples, scores them, and moves the weights. */
  async #doStep(
    prompts: readonly string[],
    conditions: Conditions,
    { steps, signal, clock }: { steps: number; signal: AbortSignal | undefined; clock: StageClock },
  ) {
    const { optimizer } = this.#settings;
    const batch = await this.#samples!.draw({ prompts, conditions, step: this.#step, signal, clock });
    try {
      const native = await clock.time('matching', this.#accumulate(batch, signal));
      await this.#refuseChanged();
      const learningRate = learningRateAt(optimizer, this.#step, steps);
      // With every sample dropped before its backward pass there is no gradient.
      const { gradNorm, skipped } =
        native.backwards === 0
          ? { gradNorm: 0, skipped: true }
          : await clock.time('update', this.#optimizer.step(learningRate, optimizer.clip));
      return { native, batch, update: { gradNorm, skipped, learningRate } };
    } finally {
      batch.samples.dispose();
    }
  }

  /** A step that was computed with other weights than the run's is no step of it. */
  async #refuseChanged(): Promise<void> {
    await (await originOf(this.#options.model))?.refuseChanged();
    await refuseChangedReward(this.#options.reward);
  }

  /** Adds the gradients of the loss on what was drawn and scored, and disposes of the reward's. */
  async #accumulate(
    { samples, scored: { values, grad } }: ScoredBatch,
    signal: AbortSignal | undefined,
  ): Promise<NativeStepMetrics> {
    try {
      return await cancellable(signal, (cancellation) =>
        this.#algorithm.accumulate(samples, values, grad, cancellation),
      );
    } finally {
      grad?.dispose();
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
    { perSample: _, ...native }: NativeStepMetrics,
    { scored, effectiveShare }: { scored: Omit<ArrayScore, 'grad'>; effectiveShare?: number },
    update: Pick<StepMetrics, 'gradNorm' | 'skipped' | 'learningRate' | 'seconds' | 'stages'>,
  ): StepMetrics {
    this.#total = addTotals(this.#total, { ...native, seconds: update.seconds });
    const rewards = rewardMetrics(this.#options.reward.name, scored);
    const share = effectiveShare === undefined ? {} : { effectiveShare };
    this.#last = { step: this.#step, ...rewards, ...native, ...share, ...update, total: this.#total };
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
        belongsTo: await this.#belongings(),
        badInARow: this.#badInARow,
        last: this.#last ? { ...this.#last } : null,
        algorithm: this.#algorithm.state(),
        totals: { ...this.#total },
      };
      await writeTrainingState(directory, state, weights, this.#optimizer);
    } finally {
      disposeAll(weights);
      if (averaged) disposeAll(averaged);
    }
  }
}
