import { existsSync } from 'node:fs';
import { join, resolve } from 'node:path';

import { NonFiniteError, suppress } from '../../errors.js';
import { makeRoom, writeCheckpoint } from '../../files/checkpoints.js';
import { checkOutput } from '../../files/output-path.js';
import { disposeAll, removeUnfinished, saveTensors } from '../../files/safetensors.js';
import type { PretrainTask } from '../../models/pretraining.js';
import type { NativeOptimizer } from '../../runtime/native/binding.js';
import { binding } from '../../runtime/native/index.js';
import type { Tensor } from '../../runtime/native/tensor.js';
import { EpochOrder } from '../../training/epochs.js';
import { cyclePrompts, encodeGrid, sampleImages } from '../../training/sampler.js';
import { adamWOptions } from '../../training/settings.js';
import { learningRateAt } from '../../training/schedule.js';
import { averagedWeights, fingerprint, readTrainingState, writeTrainingState } from '../../training/state.js';
import { jobDevice } from '../device.js';
import { checkJobOptions, type JobOptions } from '../options.js';
import { silent } from '../progress.js';
import { RunDirectory, type OpenedRun } from '../run-directory.js';
import { isRecordOf, readPretrainConfig, type PretrainConfig } from './config.js';

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

/** Skipped updates in a row after which a run stops. */
const patience = 10;

/**
 * Trains a network from scratch as a configuration says.
 * @throws ConfigError for a configuration that is not valid, the signal's reason when aborted (after a checkpoint)
 */
export async function pretrain(config: unknown, options: JobOptions = {}): Promise<PretrainResult> {
  checkJobOptions(options, 'pretrain options');
  const { recipe, settings: wanted } = readPretrainConfig(config);
  const { output } = wanted;
  await checkOutput(output, 'directory');
  const onNote = (message: string) => options.observer?.note(message);
  const place = { resume: options.resume, output, record: recordFile, onNote };
  const settings = { ...wanted, device: await jobDevice(wanted.device, place) };
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
  try {
    return await trainInto(run, settings, options, task);
  } finally {
    run.directory.unlock();
  }
}

const optimizerOf = (network: PretrainTask['network'], { optimizer }: PretrainConfig): NativeOptimizer =>
  new (binding().AdamW)(network, adamWOptions(optimizer));

/** A grid of samples, from the averaged weights where there are such. */
async function drawSamples(
  task: PretrainTask,
  { samples, optimizer: { emaDecay } }: PretrainConfig,
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
  { directory: run, checkpoint, restarted }: OpenedRun,
  config: PretrainConfig,
  options: JobOptions,
  task: PretrainTask,
): Promise<PretrainResult> {
  const { observer = silent } = options;
  const optimizer = optimizerOf(task.network, config);
  const seed = BigInt(config.seed);
  const order = new EpochOrder(task.examples.length, seed);
  let step = 0;
  let saved = -1;
  let seconds = 0;
  let skippedInARow = 0;
  let last: ({ step: number } & Record<string, unknown>) | undefined;
  // What the examples of a position depend on, besides the seed.
  const belongsTo = { model: fingerprint(config.model), data: fingerprint(task.source) };
  if (restarted) {
    await run.rewindMetrics(0);
    observer.note(`resuming ${run.path}, which was stopped before its first checkpoint, at step 0`);
  } else if (checkpoint) {
    const own = { seed, batch: config.batch, belongsTo, allow: options.allow };
    const state = await readTrainingState(checkpoint.directory, own, task.load, optimizer);
    step = saved = state.step;
    seconds = state.totals['seconds'] ?? 0;
    skippedInARow = state.badInARow;
    // The run may have been killed after its last checkpoint and before it had made room.
    await makeRoom(run.checkpoints, step, config.checkpoints.keep);
    await run.rewindMetrics(step, state.last);
    observer.note(`resumed ${run.path} at step ${step}`);
  } else {
    observer.note(`writing to ${run.path}`);
  }
  // First of all: by it a killed run is known, and resumed from its directory alone.
  await run.write(recordFile, `${JSON.stringify({ ...config, output: resolve(run.path) }, null, 2)}\n`);

  const save = async () => {
    if (saved === step) return;
    await writeCheckpoint(run.checkpoints, step, config.checkpoints.keep, async (directory) => {
      const weights = task.network.weights();
      const state = {
        step,
        seed: String(seed),
        position: step * config.batch,
        belongsTo,
        badInARow: skippedInARow,
        last: last ?? null,
        algorithm: {},
        totals: { seconds },
      };
      try {
        await writeTrainingState(directory, state, weights, optimizer);
      } finally {
        disposeAll(weights);
      }
    });
    saved = step;
  };

  const batchAt = (position: number) =>
    order.slice(position * config.batch, config.batch).map((place) => task.examples[place]!);

  observer.begin(config.steps, step);
  try {
    while (step < config.steps) {
      const start = performance.now();
      const { loss, accuracy } = await task.accumulate(batchAt(step), step);
      const learningRate = learningRateAt(config.optimizer, step, config.steps);
      const { gradNorm, skipped } = await optimizer.step(learningRate, config.optimizer.clip);
      skippedInARow = skipped ? skippedInARow + 1 : 0;
      step++;
      seconds += (performance.now() - start) / 1000;
      last = { step, loss, ...(accuracy !== undefined && { accuracy }), gradNorm, learningRate, seconds };
      await run.appendMetrics(last);
      if (skippedInARow >= patience) {
        throw new NonFiniteError(
          `the gradient was not finite in ${skippedInARow} steps in a row, up to step ${step}; try a lower ` +
            'optimizer.learningRate',
        );
      }
      observer.advance(step, { loss, ...(accuracy !== undefined && { accuracy }) });
      if (config.samples?.every && step % config.samples.every === 0) {
        const grid = await drawSamples(task, config, optimizer, options.signal);
        if (grid) await run.writeSamples(step, grid);
      }
      // Last: what a step leaves behind is there when its checkpoint is.
      if (step % config.checkpoints.every === 0) await save();
    }
  } catch (error) {
    await save().catch((failure: unknown) => suppress(error, failure));
    throw error;
  } finally {
    observer.end();
  }
  await save();
  return finish(config, task, optimizer, run, options, step);
}

async function finish(
  config: PretrainConfig,
  task: PretrainTask,
  optimizer: NativeOptimizer,
  run: RunDirectory,
  { observer = silent, signal }: JobOptions,
  step: number,
): Promise<PretrainResult> {
  const own = averagedWeights(optimizer) ?? task.network.weights();
  const stored: Record<string, Tensor> = {};
  try {
    for (const [name, tensor] of Object.entries(own))
      stored[name] = await tensor.to({ dtype: config.storage, device: 'cpu' });
    // What this run was writing when it was killed: the directory is its own.
    await removeUnfinished(run.path, 0);
    await saveTensors(join(run.path, weightsFile), stored, { format: 'pt' });
    const grid = await drawSamples(task, config, optimizer, signal);
    if (grid) observer.note(`samples: ${await run.writeSamples(step, grid)}`);
    // What is measured is what was stored.
    await task.load(stored);
  } finally {
    disposeAll(stored);
    disposeAll(own);
  }
  await run.writeConfig(config.model);
  const accuracy = await task.measure?.();
  if (accuracy !== undefined) observer.note(`held-out accuracy: ${(100 * accuracy).toFixed(2)} %`);
  observer.note(`model: ${run.path}`);
  return { directory: run.path, ...(accuracy !== undefined && { accuracy }) };
}
