import { basename, resolve } from 'node:path';

import { NonFiniteError } from '../../errors.js';
import { disposeAll } from '../../files/safetensors.js';
import type { Model } from '../../models/model.js';
import { DriftProbe } from '../../training/drift.js';
import { evaluationScalars, trackingScalars } from '../../training/metric-names.js';
import type { StepMetrics } from '../../training/metrics.js';
import { cyclePrompts } from '../../training/sampler.js';
import { averagedWeights } from '../../training/state.js';
import type { Trainer } from '../../training/trainer.js';
import { RunDirectory } from '../run-directory.js';
import { createTrainer, drawGrid, measureSet, openModel, type Bench } from './bench.js';
import { belongingsOf } from './finished.js';
import { measuresOf, type Baseline, type CurvePoint, type RunResult } from './results.js';
import { loggedConfig, settingsOf, type RunPlan } from './run-plan.js';
import { makeDirectory } from '../../runtime/make-directory.js';

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
  makeDirectory(directory);
  using model = await openModel(bench, plan.seed);
  const run = RunDirectory.existing(directory);
  const { config, observer } = bench;
  run.logTo(config.logging, { group: basename(resolve(directory, '../..')), onNote: (line) => observer.note(line) });
  return await run.during(() => new ComparedRun(bench, plan, baseline, steps, run, model).run());
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
    await directory.logs.config(loggedConfig(bench.config, plan));
    const failure = await this.#train();
    const whole = plan.whole && failure === undefined;
    const final = whole ? await measureSet(bench, this.model, 'evaluation', this.#trainer) : undefined;
    if (final) await directory.logs.summary(this.#trainer.step, evaluationScalars(final));
    if (whole) await this.#keep();
    const result: RunResult = {
      contender: plan.contender.name,
      seed: plan.seed,
      learningRate: plan.learningRate,
      settings: settingsOf(bench.config, plan),
      belongsTo: belongingsOf(bench, plan.contender),
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
    using probe = await DriftProbe.create(this.model, {
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
    const measures = { ...measuresOf(measured), drift: (await probe.measure()).all };
    await this.directory.logs.scalars(step, trackingScalars(measures));
    const finite = this.#batchRewards.filter(Number.isFinite);
    this.#points.push({
      step,
      forwards,
      vjps,
      backwards,
      evaluations: forwards + vjps + backwards,
      seconds,
      ...measures,
      ...(finite.length && { batchReward: finite.reduce((sum, reward) => sum + reward, 0) / finite.length }),
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
