import { cpus } from 'node:os';
import { join, resolve } from 'node:path';

import type { ContenderResult, FinishedComparison } from './comparison.js';
import type { Baseline, RunResult, SweepEntry } from './results.js';
import { drawGrid, evaluationsPerStep, measureSet, openModel, type Bench } from './bench.js';
import { commonBelongings, finishedRun, refuseOtherRuns } from './finished.js';
import { makeBestOf } from './best-of.js';
import { bestOfPlan, finalPlan, sweepPlan, type BestOfPlan, type RunPlan } from './run-plan.js';
import { makeRun } from './run.js';
import { meanCurve } from './curves.js';
import { speedUp } from './speed-up.js';
import { atEdge, chooseRate } from './sweep.js';
import { writeComparison, type CompareResult } from './written.js';
import {
  isTrained,
  readCompareConfig,
  type Budget,
  type CompareSettings,
  type Contender,
  type TrainedContender,
} from './config.js';
import type { Model } from '../../models/model.js';
import { binding } from '../../runtime/native/index.js';
import { checkOutput } from '../../files/output-path.js';
import { checkLogs } from '../logging/settings.js';
import { checkJobOptions, type JobOptions } from '../options.js';
import { silent } from '../progress.js';
import { createJudge, createRewards } from '../../rewards/registry.js';
import { jobDevice } from '../device.js';
import { refuseExisting } from '../existing-output.js';
import { createAlgorithm } from '../../training/algorithms.js';
import { drawingEvaluations } from '../../training/evaluations.js';
import { rehearse } from '../rehearsal.js';
import { loadConfiguredModel } from '../settings/model.js';
import type { CompareConfig } from '../settings/config.generated.js';
import { RunDirectory } from '../run-directory.js';
import { conduct } from '../run-status.js';
import { versions } from '../../runtime/versions.js';
import { makeDirectory } from '../../runtime/make-directory.js';

/**
 * Fine-tunes one model with several algorithms on the same rewards, each at its own best learning rate and over several
 * seeds, and writes what it cost them: compare.json, report.html, summary.md, and a directory for each run.
 * @throws ConfigError for a configuration that is not valid or, when resuming, not that of the runs already made;
 *   CheckpointError where these had another model, other rewards, another algorithm or other prompts; EamError with
 *   code ERR_EAM_SWEEP if no learning rate suits a contender; the signal's reason when aborted
 */
export async function compare(config: CompareConfig, options: JobOptions = {}): Promise<CompareResult> {
  checkJobOptions(options, 'compare options');
  const wanted = await readCompareConfig(config);
  const { output } = wanted;
  await checkOutput(output, 'directory');
  const onNote = (message: string) => options.observer?.note(message);
  const place = { resume: options.resume, output, record: 'config.json', onNote };
  const settings = { ...wanted, device: await jobDevice(wanted.device, place) };
  if (!options.resume && options.existing === 'refuse') await refuseExisting(output);
  await checkLogs(settings.logging);
  const parts = await partsOf(settings, options);
  if (options.resume) makeDirectory(output);
  const directory = options.resume
    ? RunDirectory.existing(output)
    : await RunDirectory.createAs(output, options.existing, onNote);
  if (options.resume) directory.lock();
  return await conduct(directory, options.signal, () => compareInto(directory, settings, parts, options));
}

/** What scores and judges images, tried with the model, and what runs with it belong to. */
async function partsOf(settings: CompareSettings, { observer, signal, resume }: JobOptions) {
  const { rewards, prompts, device, evaluation, tracking, samples, contenders } = settings;
  const reward = await createRewards(rewards, device, { onNote: (message) => observer?.note(message) });
  const judge = evaluation.judge && createJudge(evaluation.judge, device);
  using model = await loadConfiguredModel(settings);
  const algorithms = contenders.filter(isTrained).map(({ algorithm }) => createAlgorithm(algorithm));
  const guidances = [tracking, evaluation, samples].map(({ guidance }) => guidance);
  if (!resume) await rehearse({ model, algorithms, prompts, reward, judge, guidances, signal });
  return { reward, judge, belongsTo: await commonBelongings({ config: settings, reward, judge }, model) };
}

async function compareInto(
  directory: RunDirectory,
  settings: CompareSettings,
  parts: Pick<Bench, 'reward' | 'judge' | 'belongsTo'>,
  options: JobOptions,
): Promise<CompareResult> {
  const bench: Bench = {
    config: settings,
    ...parts,
    observer: options.observer ?? silent,
    signal: options.signal,
    allow: options.allow,
  };
  if (options.resume) await refuseOtherRuns(bench, directory.path);
  await directory.writeConfig({ ...settings, output: resolve(directory.path) });
  bench.observer.note(`writing to ${directory.path}`);
  try {
    return await new ComparisonJob(bench, directory).run();
  } catch (error) {
    if (options.signal?.aborted)
      bench.observer.note(`stopped; finished runs are kept; to go on: eam compare ${directory.path} --resume`);
    throw error;
  }
}

class ComparisonJob {
  constructor(
    private readonly bench: Bench,
    private readonly directory: RunDirectory,
  ) {}

  async run(): Promise<CompareResult> {
    const { config } = this.bench;
    const { baseline, grid } = await this.#measurePretrained();
    const { sweep, rates } = await this.#sweep(baseline);
    const runs = await this.#runAll(baseline, rates);
    const contenders = config.contenders.map((contender): ContenderResult => {
      const own = runs.get(contender)!;
      const learningRate = rates.get(contender);
      return {
        name: contender.name,
        ...(learningRate !== undefined && { learningRate }),
        evaluationsPerImage: drawingEvaluations(config.tracking) * (contender.bestOf ?? 1),
        runs: own,
        curve: meanCurve(own),
      };
    });
    const [first, ...others] = contenders.filter((_, index) => isTrained(config.contenders[index]!));
    const comparison: FinishedComparison = {
      config: { ...config, output: this.directory.path },
      versions: versions(),
      machine: {
        processor: cpus()[0]?.model.trim() ?? 'unknown',
        threads: await binding().threads(),
        device: config.device,
      },
      pretrained: baseline,
      sweep,
      contenders,
      speedUps: others.map((other) => speedUp(first!.runs, other.runs)),
    };
    return writeComparison(this.bench, this.directory, comparison, grid);
  }

  async #measurePretrained(): Promise<{ baseline: Baseline; grid: Uint8Array }> {
    const { bench } = this;
    bench.observer.note('measuring the pretrained model');
    using model: Model = await openModel(bench, 0);
    const baseline = {
      tracking: await measureSet(bench, model, 'tracking'),
      evaluation: await measureSet(bench, model, 'evaluation'),
    };
    return { baseline, grid: await drawGrid(bench, model) };
  }

  /** Every rate of one contender before the next one's: a comparison in seconds is not made here. */
  async #sweep(baseline: Baseline): Promise<{ sweep: SweepEntry[]; rates: Map<Contender, number> }> {
    const { contenders, sweep: settings } = this.bench.config;
    const rates = new Map<Contender, number>();
    const sweep: SweepEntry[] = [];
    for (const contender of contenders.filter(isTrained)) {
      if (contender.learningRate !== undefined || !settings) {
        rates.set(contender, contender.learningRate!);
        continue;
      }
      const runs: RunResult[] = [];
      for (const [index, learningRate] of settings.learningRates.entries()) {
        const title =
          `sweep of ${contender.name}, learning rate ${learningRate} (${index + 1} of ` +
          `${settings.learningRates.length})`;
        runs.push(await this.#run(title, sweepPlan(settings, contender, learningRate), baseline));
      }
      const limits = { accuracy: baseline.tracking.accuracy, accuracyLoss: settings.accuracyLoss };
      const entries = chooseRate(runs, limits);
      const edge = atEdge(entries);
      const { learningRate } = entries.find(({ chosen }) => chosen)!;
      this.bench.observer.note(
        `${contender.name} takes the learning rate ${learningRate}${edge ? `, the ${edge} of the sweep` : ''}`,
      );
      rates.set(contender, learningRate);
      sweep.push(...entries);
    }
    return { sweep, rates };
  }

  /** Seed by seed, so that a machine that grows slower does so for every contender. */
  async #runAll(baseline: Baseline, rates: ReadonlyMap<Contender, number>): Promise<Map<Contender, RunResult[]>> {
    const { contenders, seeds } = this.bench.config;
    const runs = new Map<Contender, RunResult[]>(contenders.map((contender) => [contender, []]));
    let number = 0;
    for (const seed of seeds) {
      for (const contender of contenders) {
        const title = `${contender.name}, seed ${seed} (run ${++number} of ${seeds.length * contenders.length})`;
        const run = isTrained(contender)
          ? await this.#run(
              title,
              { ...finalPlan(this.bench.config, contender, seed), learningRate: rates.get(contender)! },
              baseline,
            )
          : await this.#measureBestOf(title, bestOfPlan(contender, seed));
        if (run.failure !== undefined) this.bench.observer.note(`${title} ended early: ${run.failure}`);
        runs.get(contender)!.push(run);
      }
    }
    return runs;
  }

  async #run(title: string, plan: RunPlan, baseline: Baseline): Promise<RunResult> {
    const { bench, directory } = this;
    const finished = await finishedRun(bench, plan, directory.path);
    if (finished) {
      bench.observer.note(`${title}: finished before`);
      return finished;
    }
    const steps = this.#stepsOf(plan.contender, plan.budget);
    bench.observer.note(`${title}: ${steps} steps`);
    return makeRun(bench, plan, baseline, steps, join(directory.path, plan.folder));
  }

  async #measureBestOf(title: string, plan: BestOfPlan): Promise<RunResult> {
    const { bench, directory } = this;
    const finished = await finishedRun(bench, plan, directory.path);
    bench.observer.note(finished ? `${title}: finished before` : `${title}: measuring`);
    return finished ?? (await makeBestOf(bench, plan, join(directory.path, plan.folder)));
  }

  #stepsOf(contender: TrainedContender, { steps, evaluations }: Budget): number {
    if (steps !== undefined) return steps;
    return Math.max(1, Math.floor(evaluations! / evaluationsPerStep(this.bench, contender)));
  }
}
