import { existsSync } from 'node:fs';
import { join, resolve } from 'node:path';

import type { Algorithm } from '../../training/algorithm.js';
import { makeRoom } from '../../files/checkpoints.js';
import type { FinetuneSettings } from '../settings/finetune.js';
import { isError, NonFiniteError, StoppedError, suppress, suppressedBy } from '../../errors.js';
import { evaluate, type Evaluation } from '../../training/evaluation.js';
import type { Model } from '../../models/model.js';
import { SampleKeeper } from '../evaluated/sample-keeper.js';
import type { JobOptions } from '../options.js';
import { progressNotes, promptProgress, silent, type JobObserver } from '../progress.js';
import { RunReport } from '../report/write-report.js';
import type { Scorers } from './scorers.js';
import { describeShares } from './shares.js';
import type { LiveRun } from '../serve/live-run.js';
import type { RunDirectory, OpenedRun } from '../run-directory.js';
import { endingOf } from '../run-status.js';
import { cyclePrompts, encodeGrid } from '../../training/sampler.js';
import { Trainer } from '../../training/trainer.js';
import { Watch } from './watch.js';

/** What a fine-tuning returns. */
export interface FinetuneResult {
  /** The run's directory. */
  directory: string;
  /** The last checkpoint, which holds the adapter in PEFT's layout, or the model's own parameters. */
  adapter: string;
  /** The path of report.html. */
  report: string;
  /** Before and after, where the configuration asks for it. */
  evaluation?: Evaluation;
}

/** What a run computes with. */
interface Parts {
  model: Model;
  algorithm: Algorithm;
  scorers: Scorers;
  live: LiveRun | undefined;
}

/** One run, from its opened directory to its report. */
export class FinetuneJob {
  readonly #observer: JobObserver;
  readonly #directory: RunDirectory;
  readonly #report: RunReport;
  #trainer!: Trainer;
  #gridPrompts: string[];

  constructor(
    private readonly config: FinetuneSettings,
    private readonly opened: OpenedRun,
    private readonly parts: Parts,
    private readonly options: JobOptions,
  ) {
    this.#observer = options.observer ?? silent;
    this.#directory = opened.directory;
    this.#report = new RunReport(this.#directory.path, (line) => this.#observer.note(line));
    this.#directory.logTo(config.logging, { onNote: (line) => this.#observer.note(line) });
    this.#gridPrompts = cyclePrompts(config.prompts, config.samples.count);
  }

  async run(): Promise<FinetuneResult> {
    await this.#open();
    const { decoder } = this.parts.model;
    await this.#directory.writeConfig({ ...this.config, decoder, output: resolve(this.#directory.path) });
    try {
      return await this.#complete();
    } catch (error) {
      await this.#report.write(endingOf(error, this.options.signal));
      throw error;
    }
  }

  async #complete(): Promise<FinetuneResult> {
    try {
      await this.#prepare();
      await this.#train();
    } catch (error) {
      if (error instanceof StoppedError)
        await this.#writeGrid(this.#trainer.step, 'trained').catch((failure: unknown) => suppress(error, failure));
      else await this.#tellHowToGoOn(error);
      throw error;
    }
    await this.#writeGrid(this.#trainer.step, 'trained');
    let evaluation: Evaluation | undefined;
    try {
      evaluation = await this.#evaluate();
    } catch (error) {
      this.#observer.note(`the evaluation did not finish; to repeat it: eam evaluate ${this.#directory.path}`);
      throw error;
    }
    return this.#finish(evaluation);
  }

  async #open(): Promise<void> {
    const {
      config,
      opened: { checkpoint, restarted },
    } = this;
    this.#trainer = new Trainer({
      model: this.parts.model,
      reward: this.parts.scorers.reward,
      prompts: config.prompts,
      negativePrompt: config.negativePrompt,
      algorithm: this.parts.algorithm,
      optimizer: config.optimizer,
      batch: config.batch,
      seed: config.seed,
      checkpoints: { directory: this.#directory.checkpoints, ...config.checkpoints },
    });
    if (checkpoint) {
      await this.#trainer.resume(checkpoint.directory, { allow: this.options.allow });
      // The run may have been killed after its last checkpoint and before it had made room.
      await makeRoom(this.#directory.checkpoints, this.#trainer.step, config.checkpoints.keep);
      await this.#directory.rewindMetrics(this.#trainer.step, this.#trainer.last);
      this.#observer.note(`resuming ${this.#directory.path} at step ${this.#trainer.step}`);
    } else if (restarted) {
      await this.#directory.rewindMetrics(0);
      this.#observer.note(`resuming ${this.#directory.path}, which was stopped before its first checkpoint, at step 0`);
    } else {
      this.#observer.note(`writing to ${this.#directory.path}`);
    }
  }

  /**
   * Encodes the prompts, draws endpoints of the pretrained model where the algorithm wants them, and its grid where a
   * run before has not.
   */
  async #prepare(): Promise<void> {
    const onNote = (line: string) => this.#observer.note(line);
    await this.#trainer.prepare({
      onNote,
      onProgress: promptProgress(onNote),
      onEndpoint: progressNotes(onNote, 'drew', 'endpoints'),
      signal: this.options.signal,
    });
    await this.#tellEndpoints();
    if (!existsSync(this.#directory.samples(0))) await this.#writeGrid(0, 'pretrained');
  }

  async #tellEndpoints(): Promise<void> {
    const shares = this.#trainer.effectiveShares;
    if (!shares) return;
    const record = JSON.stringify({ effectiveShare: Object.fromEntries(shares) }, null, 2);
    await this.#directory.write('endpoints.json', `${record}\n`);
    for (const line of describeShares(shares)) this.#observer.note(line);
  }

  async #train(): Promise<void> {
    const { steps, samples, checkpoints } = this.config;
    using watch = await this.#startWatch();
    this.#observer.begin(steps, this.#trainer.step);
    try {
      for await (const metrics of this.#trainer.run({ steps, signal: this.options.signal })) {
        const { step, reward, loss, gradNorm, dropped } = metrics;
        const logged = await watch.measured(metrics);
        await this.#directory.appendMetrics(logged);
        await this.parts.live?.saveWhereAsked(step, () => this.#trainer.save());
        const figures = { reward, loss, gradient: gradNorm, ...(dropped && { dropped }) };
        this.#observer.advance(step, figures, metrics.forwards + metrics.vjps + metrics.backwards);
        await watch.act(logged);
        if (samples.every && step % samples.every === 0 && step < steps) await this.#writeGrid(step, 'trained');
        // The trainer writes the step's checkpoint after this report. The last step's report is written after its grid.
        if (step % checkpoints.every === 0 && step < steps) await this.#report.write({ state: 'running' });
      }
    } finally {
      this.#observer.end();
    }
  }

  #startWatch(): Promise<Watch> {
    const { model, scorers } = this.parts;
    return Watch.start({
      model,
      scorers,
      config: this.config,
      trainer: this.#trainer,
      directory: this.#directory,
      observer: this.#observer,
      signal: this.options.signal,
    });
  }

  async #tellHowToGoOn(error: unknown): Promise<void> {
    if (!(await this.#saved(error)) || !this.#canGoOn(error)) return;
    this.#observer.note(
      `stopped after step ${this.#trainer.step}; to go on: eam finetune ${this.#directory.path} --resume`,
    );
  }

  /**
   * Whether a resumed run could come further: one that failed before its first step would fail there again, and so
   * would one that diverged.
   */
  #canGoOn(error: unknown): boolean {
    return this.options.signal?.aborted || (this.#trainer.step > 0 && !(error instanceof NonFiniteError));
  }

  /**
   * Whether there is a checkpoint to go on from after `error`; the trainer has written it unless it was not running.
   */
  async #saved(error: unknown): Promise<boolean> {
    if (suppressedBy(error).length) return false;
    try {
      await this.#trainer.save();
      return true;
    } catch (failure) {
      if (isError(failure) && failure.message !== (error as Error | null)?.message) suppress(error, failure);
      return false;
    }
  }

  async #writeGrid(step: number, weights: 'trained' | 'pretrained'): Promise<void> {
    const { steps, solver, guidance, batch, seed, columns } = this.config.samples;
    const images = await this.#trainer.sample({
      prompts: this.#gridPrompts,
      negativePrompt: this.config.negativePrompt,
      steps,
      solver,
      guidance,
      batch,
      seed: BigInt(seed),
      weights,
      signal: this.options.signal,
    });
    try {
      await this.#directory.writeSamples(
        step,
        await encodeGrid(images, Math.min(columns, images.shape[0]!), { 'eam-torch': `step ${step}` }),
      );
    } finally {
      images.dispose();
    }
  }

  async #evaluate(): Promise<Evaluation | undefined> {
    const { evaluation: settings, prompts, negativePrompt } = this.config;
    if (!settings) return undefined;
    await this.#report.write({ state: 'running' });
    const { judge: _, rewards: __, seed, examples, ...sampling } = settings;
    const { evaluated, judge } = this.parts.scorers;
    const samples = new SampleKeeper(examples, settings.count, BigInt(seed));
    this.#observer.note(`evaluating on ${settings.count} fresh samples`);
    this.#observer.begin(2 * settings.count, 0, 'image');
    try {
      const evaluation = await evaluate(this.parts.model, {
        ...sampling,
        reward: evaluated,
        judge,
        prompts,
        negativePrompt,
        seed: BigInt(seed),
        average: this.#trainer.averaging,
        signal: this.options.signal,
        onProgress: (done, _total, forwards) => this.#observer.advance(done, {}, forwards),
        onPairs: (pairs) => samples.add(pairs),
      });
      // The figures are written first, so that a disk without room for the images may still have room for them.
      await this.#directory.writeEvaluation(this.#trainer.step, evaluation);
      await samples.write(this.#directory.path);
      return evaluation;
    } finally {
      this.#observer.end();
    }
  }

  async #finish(evaluation: Evaluation | undefined): Promise<FinetuneResult> {
    const directory = this.#directory;
    const last = this.#trainer.step;
    if (await this.#report.write({ state: 'finished' })) this.#observer.note(`report: ${this.#report.path}`);
    return {
      directory: directory.path,
      adapter: join(directory.checkpoints, `step-${last}`),
      report: this.#report.path,
      ...(evaluation && { evaluation }),
    };
  }
}
