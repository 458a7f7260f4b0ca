import { NonFiniteError, suppress } from '../errors.js';
import { makeRoom, writeCheckpoint } from '../files/checkpoints.js';
import { disposeAll } from '../files/safetensors.js';
import type { NativeOptimizer } from '../runtime/native/binding.js';
import type { Tensor } from '../runtime/native/tensor.js';
import type { BelongsTo } from '../training/belonging.js';
import { learningRateAt } from '../training/schedule.js';
import type { OptimizerSettings } from '../training/settings.js';
import { readTrainingState, writeTrainingState } from '../training/state.js';
import type { JobOptions } from './options.js';
import { silent, type JobObserver } from './progress.js';
import type { OpenedRun, RunDirectory } from './run-directory.js';

/** Skipped updates in a row after which a run stops. */
const patience = 10;

/** Training by steps of which each adds gradients of a loss and updates what they are of. */
export interface SteppedTraining {
  /** The command that resumes the run. */
  command: string;
  settings: {
    steps: number;
    batch: number;
    seed: number;
    optimizer: OptimizerSettings;
    checkpoints: { every: number; keep: number };
  };
  optimizer: NativeOptimizer;
  /** What the examples of a step depend on, besides the seed. */
  belongsTo: BelongsTo;
  /** The tensors that are trained. */
  weights(): Record<string, Tensor>;
  load(weights: Record<string, Tensor>): Promise<void>;
  /** Adds the gradients of step `step`, the first being 0. */
  accumulate(step: number): Promise<{
    /** What the step measured, for metrics.jsonl and the observer. */
    figures: { loss: number } & Readonly<Record<string, number>>;
    /** Network evaluations, where they are counted. */
    evaluations?: { forwards: number; backwards: number };
  }>;
  /** Writes into a checkpoint's directory what it holds beside the state of the training. */
  alsoSave?(directory: string, weights: Record<string, Tensor>): Promise<void>;
  /** Told of every step that is complete and logged, before its checkpoint is written. */
  after?(step: number): Promise<void>;
}

/** A line of metrics.jsonl. */
type LoggedStep = { step: number } & Record<string, unknown>;

/** The steps of a run, their metrics and their checkpoints: a run that is resumed ends with the same bits. */
export class SteppedRun {
  readonly #directory: RunDirectory;
  readonly #observer: JobObserver;
  #step = 0;
  #saved = -1;
  #seconds = 0;
  #skippedInARow = 0;
  #last: LoggedStep | null = null;

  constructor(
    private readonly opened: OpenedRun,
    private readonly training: SteppedTraining,
    private readonly options: Pick<JobOptions, 'observer' | 'signal' | 'allow'>,
  ) {
    this.#directory = opened.directory;
    this.#observer = options.observer ?? silent;
  }

  /** Steps done. */
  get step(): number {
    return this.#step;
  }

  /** Goes to where a resumed run stopped, and says where the run is written. @throws CheckpointError */
  async begin(): Promise<void> {
    const { checkpoint, restarted } = this.opened;
    const { path, checkpoints } = this.#directory;
    if (restarted) {
      await this.#directory.rewindMetrics(0);
      this.#observer.note(`resuming ${path}, which was stopped before its first checkpoint, at step 0`);
    } else if (checkpoint) {
      const { settings, belongsTo, load, optimizer } = this.training;
      const own = { seed: BigInt(settings.seed), batch: settings.batch, belongsTo, allow: this.options.allow };
      const state = await readTrainingState(checkpoint.directory, own, load, optimizer);
      this.#step = this.#saved = state.step;
      this.#seconds = state.totals['seconds'] ?? 0;
      this.#skippedInARow = state.badInARow;
      this.#last = state.last as LoggedStep | null;
      // The run may have been killed after its last checkpoint and before it had made room.
      await makeRoom(checkpoints, this.#step, settings.checkpoints.keep);
      await this.#directory.rewindMetrics(this.#step, this.#last);
      this.#observer.note(`resumed ${path} at step ${this.#step}`);
    } else {
      this.#observer.note(`writing to ${path}`);
    }
  }

  /**
   * Does the steps that are left, and writes a checkpoint at the end, or of the last complete step where it stops.
   * @throws NonFiniteError after ten updates in a row that were left out; the signal's reason
   */
  async train(): Promise<void> {
    const { steps, checkpoints } = this.training.settings;
    this.#observer.begin(steps, this.#step);
    try {
      while (this.#step < steps) {
        await this.#advance();
        await this.training.after?.(this.#step);
        // Last: what a step leaves behind is there when its checkpoint is.
        if (this.#step % checkpoints.every === 0) await this.#save();
      }
    } catch (error) {
      await this.#save().then(
        () => this.#tellHowToGoOn(),
        (failure: unknown) => suppress(error, failure),
      );
      throw error;
    } finally {
      this.#observer.end();
    }
    await this.#save();
  }

  async #advance(): Promise<void> {
    const { settings, optimizer } = this.training;
    const start = performance.now();
    const { figures, evaluations } = await this.training.accumulate(this.#step);
    const learningRate = learningRateAt(settings.optimizer, this.#step, settings.steps);
    const { gradNorm, skipped } = await optimizer.step(learningRate, settings.optimizer.clip);
    this.#skippedInARow = skipped ? this.#skippedInARow + 1 : 0;
    this.#step++;
    this.#seconds += (performance.now() - start) / 1000;
    this.#last = { step: this.#step, ...figures, gradNorm, learningRate, ...evaluations, seconds: this.#seconds };
    await this.#directory.appendMetrics(this.#last);
    if (this.#skippedInARow >= patience) {
      throw new NonFiniteError(
        `the gradient was not finite in ${this.#skippedInARow} steps in a row, up to step ${this.#step}; try a lower ` +
          'optimizer.learningRate',
      );
    }
    this.#observer.advance(this.#step, figures, evaluations && evaluations.forwards + evaluations.backwards);
  }

  async #save(): Promise<void> {
    if (this.#saved === this.#step) return;
    const { settings, optimizer, belongsTo } = this.training;
    await writeCheckpoint(this.#directory.checkpoints, this.#step, settings.checkpoints.keep, async (directory) => {
      const weights = this.training.weights();
      const state = {
        step: this.#step,
        seed: String(settings.seed),
        position: this.#step * settings.batch,
        belongsTo,
        badInARow: this.#skippedInARow,
        last: this.#last,
        algorithm: {},
        totals: { seconds: this.#seconds },
      };
      try {
        await this.training.alsoSave?.(directory, weights);
        await writeTrainingState(directory, state, weights, optimizer);
      } finally {
        disposeAll(weights);
      }
    });
    this.#saved = this.#step;
  }

  #tellHowToGoOn(): void {
    if (!this.options.signal?.aborted) return;
    const again = `eam ${this.training.command} ${this.#directory.path} --resume`;
    this.#observer.note(`stopped after step ${this.#step}; to go on: ${again}`);
  }
}
