import { existsSync } from 'node:fs';
import { join, resolve } from 'node:path';

import { checkOutput } from '../../files/output-path.js';
import { disposeAll, removeUnfinished, saveTensors } from '../../files/safetensors.js';
import type { PretrainTask } from '../../models/pretraining.js';
import type { NativeOptimizer } from '../../runtime/native/binding.js';
import { binding } from '../../runtime/native/index.js';
import type { Tensor } from '../../runtime/native/tensor.js';
import { EpochOrder } from '../../training/epochs.js';
import { cyclePrompts, encodeGrid, sampleImages } from '../../training/sampler.js';
import { adamWOptions } from '../../training/settings.js';
import { averagedWeights, fingerprint } from '../../training/state.js';
import { jobDevice } from '../device.js';
import { checkLogs } from '../logging/settings.js';
import { checkJobOptions, type JobOptions } from '../options.js';
import { silent } from '../progress.js';
import type { PretrainConfig } from '../settings/config.generated.js';
import { RunDirectory, type OpenedRun } from '../run-directory.js';
import { conduct } from '../run-status.js';
import { SteppedRun } from '../stepped-run.js';
import { isRecordOf, readPretrainConfig, type PretrainJobSettings } from './config.js';

/** What {@link pretrain} returns. */
export interface PretrainResult {
  /** The model's directory: config.json, model.safetensors, and the run's records. */
  directory: string;
  /** The fraction of the images kept out of training that a classifier reads rightly; other models have none. */
  accuracy?: number;
}

/** The run's configuration, written first of all. config.json is the model's, and is written last. */
const recordFile = 'recipe.json';
const weightsFile = 'model.safetensors';

/**
 * Trains a network from scratch as a configuration says.
 * @throws ConfigError for a configuration that is not valid, the signal's reason when aborted (after a checkpoint)
 */
export async function pretrain(config: PretrainConfig, options: JobOptions = {}): Promise<PretrainResult> {
  checkJobOptions(options, 'pretrain options');
  const { recipe, settings: wanted } = await readPretrainConfig(config);
  const { output } = wanted;
  await checkOutput(output, 'directory');
  const onNote = (message: string) => options.observer?.note(message);
  const place = { resume: options.resume, output, record: recordFile, onNote };
  const settings = { ...wanted, device: await jobDevice(wanted.device, place) };
  await checkLogs(settings.logging);
  using task = await recipe.start(settings as Parameters<typeof recipe.start>[0], options.signal);
  const run = await RunDirectory.open(settings.output, {
    resume: options.resume ?? false,
    existing: options.existing,
    onNumbered: onNote,
    record: recordFile,
    // A model that is finished is not begun again in its place.
    isRecord: (json) => isRecordOf(recipe, json) && !existsSync(join(settings.output, weightsFile)),
    onRejected: (error) => options.observer?.note(`passed over: ${error.message}`),
  });
  return await conduct(run.directory, options.signal, () => trainInto(run, settings, options, task));
}

/** A grid of samples, from the averaged weights where there are such. */
async function drawSamples(
  task: PretrainTask,
  { samples, optimizer: { emaDecay } }: PretrainJobSettings,
  optimizer: NativeOptimizer,
  signal: AbortSignal | undefined,
): Promise<Uint8Array | undefined> {
  if (!samples || !task.samples) return undefined;
  const { steps, solver, guidance } = samples;
  const images = await sampleImages(task.samples.model, {
    prompts: cyclePrompts(task.samples.prompts, samples.count),
    steps,
    solver,
    guidance,
    seed: BigInt(samples.seed),
    average: emaDecay > 0 ? optimizer : undefined,
    signal,
  });
  try {
    return await encodeGrid(images, samples.columns);
  } finally {
    images.dispose();
  }
}

async function trainInto(
  opened: OpenedRun,
  config: PretrainJobSettings,
  options: JobOptions,
  task: PretrainTask,
): Promise<PretrainResult> {
  const { directory: run } = opened;
  run.logTo(config.logging, { onNote: (line) => options.observer?.note(line) });
  const optimizer = new (binding().AdamW)(task.network, adamWOptions(config.optimizer));
  const order = new EpochOrder(task.examples.length, BigInt(config.seed));
  const batchAt = (position: number) =>
    order.slice(position * config.batch, config.batch).map((place) => task.examples[place]!);
  const training = new SteppedRun(
    opened,
    {
      command: 'pretrain',
      settings: config,
      optimizer,
      belongsTo: { model: fingerprint(task.identity ?? config.model), data: fingerprint(task.source) },
      weights: () => task.network.weights(),
      load: task.load,
      async accumulate(step) {
        const { loss, accuracy } = await task.accumulate(batchAt(step), step);
        return { figures: { loss, ...(accuracy !== undefined && { accuracy }) } };
      },
      async after(step) {
        if (!config.samples?.every || step % config.samples.every !== 0) return;
        const grid = await drawSamples(task, config, optimizer, options.signal);
        if (grid) await run.writeSamples(step, grid);
      },
    },
    options,
  );
  await training.begin();
  // First of all: by it a killed run is known, and resumed from its directory alone.
  await run.writeConfig({ ...config, output: resolve(run.path) }, recordFile);
  await training.train();
  return finish(config, task, optimizer, run, options, training.step);
}

async function finish(
  config: PretrainJobSettings,
  task: PretrainTask,
  optimizer: NativeOptimizer,
  run: RunDirectory,
  { observer = silent, signal }: JobOptions,
  step: number,
): Promise<PretrainResult> {
  // What is not trained is not averaged.
  const own = { ...task.network.weights(), ...averagedWeights(optimizer) };
  const stored: Record<string, Tensor> = {};
  try {
    for (const [name, tensor] of Object.entries(own))
      stored[name] = await tensor.to({ dtype: config.storage, device: 'cpu' });
    // What this run was writing when it was killed: the directory is its own.
    await removeUnfinished(run.path, 0);
    await saveTensors(join(run.path, weightsFile), stored, { format: 'pt', ...task.metadata });
    const grid = await drawSamples(task, config, optimizer, signal);
    if (grid) observer.note(`samples: ${await run.writeSamples(step, grid)}`);
    // What is measured is what was stored.
    await task.load(stored);
  } finally {
    disposeAll(stored);
    disposeAll(own);
  }
  const described = task.writeModel ? await task.writeModel(run.path) : config.model;
  await run.write('config.json', `${JSON.stringify(described, null, 2)}\n`);
  const accuracy = await task.measure?.();
  if (accuracy !== undefined) observer.note(`held-out accuracy: ${(100 * accuracy).toFixed(2)} %`);
  observer.note(`model: ${run.path}`);
  return { directory: run.path, ...(accuracy !== undefined && { accuracy }) };
}
