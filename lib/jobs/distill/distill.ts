import { existsSync } from 'node:fs';
import { join, resolve } from 'node:path';

import { originOf } from '../../files/origin.js';
import { checkOutput } from '../../files/output-path.js';
import { disposeAll } from '../../files/safetensors.js';
import type { Model } from '../../models/model.js';
import { createJudge } from '../../rewards/registry.js';
import type { Judge } from '../../rewards/reward.js';
import type { NativeOptimizer } from '../../runtime/native/binding.js';
import { binding } from '../../runtime/native/index.js';
import { modelIdentity } from '../../training/belonging.js';
import { cyclePrompts, encodeGrid, sampleImages, type SampleOptions } from '../../training/sampler.js';
import { adamWOptions } from '../../training/settings.js';
import { averagedWeights, fingerprint } from '../../training/state.js';
import { jobDevice } from '../device.js';
import { refuseExisting } from '../existing-output.js';
import { checkLogs } from '../logging/settings.js';
import { checkJobOptions, type JobOptions } from '../options.js';
import { promptProgress, silent, type JobObserver } from '../progress.js';
import { rehearseJudge } from '../rehearsal.js';
import type { DistillConfig } from '../settings/config.generated.js';
import { RunDirectory, type OpenedRun } from '../run-directory.js';
import { conduct } from '../run-status.js';
import { loadConfiguredModel } from '../settings/model.js';
import { SteppedRun } from '../stepped-run.js';
import { distillSchema, readDistillConfig, type DistillSettings } from './config.js';
import { measureLikeness, setsOfImages, type Likeness } from './likeness.js';
import { refuseUnguidable, Teacher } from './teacher.js';

/** What {@link distill} returns. */
export interface DistillResult {
  /** The run's directory. */
  directory: string;
  /** The last checkpoint, which holds the adapter in PEFT's layout. */
  adapter: string;
  /** How like its teacher the model draws, where the configuration asks for it. */
  likeness?: Likeness;
}

/**
 * Trains an adapter by flow matching on samples that the pretrained model draws with guidance, so that it draws them at
 * guidance 1, and writes a run directory.
 * @throws ConfigError for a configuration that is not valid, and for a model that guidance does not change;
 *   CheckpointError for weights that are missing or cut short; the signal's reason when aborted (after a checkpoint)
 */
export async function distill(config: DistillConfig, options: JobOptions = {}): Promise<DistillResult> {
  checkJobOptions(options, 'distill options');
  const { observer = silent, resume = false, existing, signal } = options;
  const onNote = (line: string) => observer.note(line);
  const wanted = await readDistillConfig(config);
  const { output } = wanted;
  await checkOutput(output, 'directory');
  const place = { resume, output, record: 'config.json', onNote };
  const settings = { ...wanted, device: await jobDevice(wanted.device, place) };
  if (!resume && existing === 'refuse') await refuseExisting(output);
  await checkLogs(settings.logging);
  const judge = settings.evaluation && createJudge(settings.evaluation.judge, settings.device);
  using model = await loadConfiguredModel(settings, { seed: BigInt(settings.seed) });
  const { prompts, negativePrompt } = settings;
  await model.prepare(prompts, { negativePrompt, onNote, onProgress: promptProgress(onNote), signal });
  if (!resume) {
    await refuseUnguidable(model, settings);
    if (judge) await rehearseJudge({ model, prompts, judge, signal });
  }
  const run = await RunDirectory.open(output, {
    resume,
    existing,
    onNumbered: onNote,
    record: 'config.json',
    isRecord: (json) => distillSchema.safeParse(json).success,
    onRejected: (error) => onNote(`passed over: ${error.message}`),
  });
  return await conduct(run.directory, signal, () =>
    new DistillJob(settings, run, { model, judge, observer }, options).run(),
  );
}

interface Parts {
  model: Model;
  judge: Judge | undefined;
  observer: JobObserver;
}

class DistillJob {
  readonly #optimizer: NativeOptimizer;
  readonly #directory: RunDirectory;

  constructor(
    private readonly config: DistillSettings,
    private readonly opened: OpenedRun,
    private readonly parts: Parts,
    private readonly options: JobOptions,
  ) {
    this.#optimizer = new (binding().AdamW)(parts.model.native, adamWOptions(config.optimizer));
    this.#directory = opened.directory;
    this.#directory.logTo(config.logging, { onNote: (line) => parts.observer.note(line) });
  }

  async run(): Promise<DistillResult> {
    const training = await this.#training();
    await training.begin();
    await this.#directory.writeConfig({ ...this.config, output: resolve(this.#directory.path) });
    if (!existsSync(this.#directory.samples(0)))
      await this.#writeGrid(0, { ...this.config.teacher, weights: 'pretrained' });
    await training.train();
    await this.#writeStudent(training.step);
    const likeness = await this.#measure();
    if (likeness) await this.#directory.writeEvaluation(training.step, likeness);
    const { path, checkpoints } = this.#directory;
    this.parts.observer.note(
      `adapter: ${path}; with it the model draws at guidance 1 what it drew at ${this.config.teacher.guidance}`,
    );
    return { directory: path, adapter: join(checkpoints, `step-${training.step}`), ...(likeness && { likeness }) };
  }

  async #training(): Promise<SteppedRun> {
    const { config, parts } = this;
    const { model } = parts;
    const { prompts, negativePrompt, timesEach, timeDistribution } = config;
    const { batch: _, ...drawing } = config.teacher;
    const teacher = new Teacher(model, config);
    return new SteppedRun(
      this.opened,
      {
        command: 'distill',
        settings: config,
        optimizer: this.#optimizer,
        belongsTo: {
          model: await modelIdentity(model),
          algorithm: fingerprint({ ...drawing, negativePrompt, timesEach, timeDistribution }),
          data: fingerprint(prompts),
        },
        weights: () => model.native.trainable(),
        load: (weights) => model.native.load('trainable', weights),
        accumulate: async (step) => {
          const { loss, drawn } = await teacher.regress(step, this.options.signal);
          await (await originOf(model))?.refuseChanged();
          const regressions = config.batch * timesEach;
          return { figures: { loss }, evaluations: { forwards: drawn + regressions, backwards: regressions } };
        },
        alsoSave: async (directory, weights) => {
          const averaged = averagedWeights(this.#optimizer);
          await model.saveAdapter(directory, averaged ?? weights);
          if (averaged) disposeAll(averaged);
        },
        after: async (step) => {
          const { every } = config.samples;
          if (every && step % every === 0 && step < config.steps) await this.#writeStudent(step);
        },
      },
      this.options,
    );
  }

  get #average(): NativeOptimizer | undefined {
    return this.config.optimizer.emaDecay > 0 ? this.#optimizer : undefined;
  }

  #writeStudent(step: number): Promise<void> {
    const { steps, solver } = this.config.samples;
    return this.#writeGrid(step, { steps, solver, guidance: 1, weights: 'trained', average: this.#average });
  }

  /** All grids start from the same noise. */
  async #writeGrid(step: number, how: Omit<SampleOptions, 'prompts' | 'seed'>): Promise<void> {
    const { samples, prompts, negativePrompt } = this.config;
    const { count, columns, batch, seed } = samples;
    using images = await sampleImages(this.parts.model, {
      prompts: cyclePrompts(prompts, count),
      negativePrompt,
      batch,
      ...how,
      seed: BigInt(seed),
      signal: this.options.signal,
    });
    const what = `step ${step}, guidance ${how.guidance}`;
    await this.#directory.writeSamples(step, await encodeGrid(images, Math.min(columns, count), { 'eam-torch': what }));
  }

  async #measure(): Promise<Likeness | undefined> {
    const { config, parts } = this;
    const { evaluation } = config;
    if (!evaluation || !parts.judge) return undefined;
    parts.observer.note(`comparing ${evaluation.count} images of each with the teacher's`);
    parts.observer.begin(setsOfImages * evaluation.count, 0, 'image');
    try {
      return await measureLikeness(parts.model, {
        config: { ...config, evaluation },
        judge: parts.judge,
        average: this.#average,
        signal: this.options.signal,
        onProgress: (done, forwards) => parts.observer.advance(done, {}, forwards),
      });
    } finally {
      parts.observer.end();
    }
  }
}
