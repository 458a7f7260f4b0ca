import { existsSync } from 'node:fs';
import { join } from 'node:path';

import { z } from 'zod';

import { cancellable } from '../../runtime/cancellation.js';
import { makeRoom, writeCheckpoint } from '../../files/checkpoints.js';
import { withDrawing } from '../config/model.js';
import {
  pretrainClassifierSchema,
  pretrainDigitsSchema,
  type PretrainClassifierConfig,
  type PretrainDigitsConfig,
} from './config.js';
import { validate } from '../../schema/validate.js';
import { EpochOrder } from '../../training/epochs.js';
import { loadMnist, type LabelledImages } from './mnist.js';
import { Purpose, RandomStream, streamOf } from '../../training/random.js';
import { NonFiniteError, suppress } from '../../errors.js';
import { digitsDrawing, newDigitsModel } from '../../models/digits/model.js';
import type { NativeOptimizer } from '../../runtime/native/binding.js';
import { binding } from '../../runtime/native/index.js';
import { checkOutput } from '../../files/output-path.js';
import { silent, type JobObserver } from '../progress.js';
import { newClassifier } from '../../rewards/digit-classifier.js';
import { RunDirectory, type OpenedRun } from '../run-directory.js';
import { disposeAll, removeUnfinished, saveTensors } from '../../files/safetensors.js';
import { cyclePrompts, encodeGrid, sampleImages } from '../../training/sampler.js';
import { learningRateAt } from '../../training/schedule.js';
import type { Tensor } from '../../runtime/tensor.js';
import { averagedWeights, fingerprint, readTrainingState, writeTrainingState } from '../../training/state.js';

/** Of {@link finetune} and {@link pretrain}. */
export interface JobOptions {
  /** Stops between network evaluations; what can be resumed is written first. */
  signal?: AbortSignal | undefined;
  /** Told of every step. */
  observer?: JobObserver | undefined;
  /** Go on from the newest whole checkpoint of the run in `output`. */
  resume?: boolean | undefined;
}

/** What {@link pretrain} returns. */
export interface PretrainResult {
  /** The model's directory: config.json, model.safetensors, and the run's records. */
  directory: string;
  /** Of a classifier, on the images kept out of training. */
  accuracy?: number;
}

/** The run's configuration, written first of all. config.json is the model's, and is written last. */
const recordFile = 'recipe.json';
const weightsFile = 'model.safetensors';

const schemas: Readonly<Record<Config['model']['type'], z.ZodType<Config>>> = {
  digits: pretrainDigitsSchema,
  'digit-classifier': pretrainClassifierSchema,
};

/** Skipped updates in a row after which a run stops. */
const patience = 10;

/**
 * Trains a network from scratch as a configuration says.
 * @throws ConfigError for a configuration that is not valid, the signal's reason when aborted (after a checkpoint)
 */
export async function pretrain(config: unknown, options: JobOptions = {}): Promise<PretrainResult> {
  const kind = z.object({ model: z.object({ type: z.enum(['digits', 'digit-classifier']) }) });
  const { type } = validate(kind, config, 'pretrain configuration').model;
  const checked = validate(schemas[type], config, 'pretrain configuration');
  await checkOutput(checked.output, 'directory');
  return 'labelDropout' in checked
    ? pretrainDigits({ ...checked, samples: withDrawing(checked.samples, digitsDrawing) }, options)
    : pretrainClassifier(checked, options);
}

async function pretrainDigits(config: PretrainDigitsConfig, options: JobOptions): Promise<PretrainResult> {
  const seed = BigInt(config.seed);
  const model = newDigitsModel(config.model, config.output, { device: config.device, seed });
  const data = await loadData(config);
  const unconditional = await model.unconditional(config.batch);
  const prompts = cyclePrompts(
    Array.from({ length: config.model.classes }, (_, digit) => String(digit)),
    config.samples.count,
  );

  const drawSamples = async (optimizer: NativeOptimizer): Promise<Uint8Array> => {
    const { steps, solver, guidance } = config.samples;
    const images = await sampleImages(model, {
      prompts,
      steps,
      solver,
      guidance,
      seed: BigInt(config.samples.seed),
      average: config.optimizer.emaDecay > 0 ? optimizer : undefined,
      signal: options.signal,
    });
    try {
      return await encodeGrid(images, config.samples.columns);
    } finally {
      images.dispose();
    }
  };

  const result = await train(config, options, {
    weights: () => model.native.weights(),
    load: (weights) => model.native.load('weights', weights),
    optimizer: optimizerOf(model.native, config),
    data,
    async accumulate(batch, step) {
      // Latents are in [−1, 1].
      const x1 = await binding().gatherImages(data.images, batch.rows, batch.shifts, 2, -1);
      const conditioning = await model.encode(Array.from(batch.labels, String));
      try {
        return await cancellable(options.signal, (cancellation) =>
          binding().flowMatching(model.native, {
            x1,
            conditioning,
            unconditional,
            dropout: config.labelDropout,
            timeDistribution: config.timeDistribution,
            seed,
            step,
            cancellation,
          }),
        );
      } finally {
        x1.dispose();
        disposeAll(conditioning);
      }
    },
    drawSamples,
  });
  model.dispose();
  disposeAll(unconditional);
  return result;
}

async function pretrainClassifier(config: PretrainClassifierConfig, options: JobOptions): Promise<PretrainResult> {
  const seed = BigInt(config.seed);
  const classifier = newClassifier(config.model, seed, config.device);
  const data = await loadData(config);
  return train(config, options, {
    weights: () => classifier.weights(),
    load: (weights) => classifier.load(weights),
    optimizer: optimizerOf(classifier, config),
    data,
    async accumulate(batch, step) {
      options.signal?.throwIfAborted();
      let images = await binding().gatherImages(data.images, batch.rows, batch.shifts, 1, 0);
      try {
        if (config.data.noise > 0) {
          const random = new RandomStream(seed, streamOf(step, 2, Purpose.data));
          // (1 − s) image + s ε: what a flow's latents look like shortly before time 1.
          const t = Float32Array.from(batch.rows, () => 1 - config.data.noise * random.uniform());
          const clean = images;
          images = await binding().renoise({
            x1: clean,
            t,
            noise: { seed, stream: streamOf(step, 0, Purpose.renoise) },
          });
          clean.dispose();
        }
        const { loss, correct } = await classifier.accumulate(images, batch.labels, config.labelSmoothing);
        return { loss, accuracy: correct / batch.rows.length };
      } finally {
        images.dispose();
      }
    },
    async measure() {
      let correct = 0;
      for (let first = 0; first < data.heldOut.length; first += 500) {
        const rows = data.heldOut.slice(first, first + 500);
        const images = await binding().gatherImages(data.images, rows, undefined, 1, 0);
        const labels = rows.map((row) => data.labels[row]!);
        const { predicted, features } = await classifier.logProbability(images, labels, false);
        correct += predicted.filter((label, index) => label === labels[index]).length;
        disposeAll([images, features]);
      }
      return data.heldOut.length ? correct / data.heldOut.length : undefined;
    },
  });
}

interface Batch {
  rows: Int32Array;
  labels: Int32Array;
  shifts: Int32Array | undefined;
}

/** What differs between the networks that can be trained. */
interface Task {
  weights(): Record<string, Tensor>;
  load(weights: Record<string, Tensor>): Promise<void>;
  optimizer: NativeOptimizer;
  data: LabelledImages;
  /** Adds one batch's gradients. */
  accumulate(batch: Batch, step: number): Promise<{ loss: number; accuracy?: number }>;
  drawSamples?(optimizer: NativeOptimizer): Promise<Uint8Array>;
  /** Accuracy on held-out images. */
  measure?(): Promise<number | undefined>;
}

type Config = PretrainDigitsConfig | PretrainClassifierConfig;

async function loadData(config: Config): Promise<LabelledImages> {
  const data = await loadMnist(config.data.heldOut);
  if (config.device === 'cpu') return data;
  const images = await data.images.to({ device: config.device });
  data.images.dispose();
  return { ...data, images };
}

function optimizerOf(
  owner: ConstructorParameters<ReturnType<typeof binding>['AdamW']>[0],
  config: Config,
): NativeOptimizer {
  const { betas, epsilon, weightDecay, emaDecay } = config.optimizer;
  return new (binding().AdamW)(owner, { beta1: betas[0], beta2: betas[1], epsilon, weightDecay, emaDecay });
}

async function train(config: Config, options: JobOptions, task: Task): Promise<PretrainResult> {
  const run = await RunDirectory.open(config.output, {
    resume: options.resume ?? false,
    record: recordFile,
    // A model that is finished is not begun again in its place.
    isRecord: (json) =>
      schemas[config.model.type].safeParse(json).success && !existsSync(join(config.output, weightsFile)),
    onRejected: (error) => options.observer?.note(`passed over: ${error.message}`),
  });
  try {
    return await trainInto(run, config, options, task);
  } finally {
    run.directory.unlock();
  }
}

async function trainInto(
  { directory: run, checkpoint, restarted }: OpenedRun,
  config: Config,
  options: JobOptions,
  task: Task,
): Promise<PretrainResult> {
  const { observer = silent } = options;
  const { optimizer, data } = task;
  const seed = BigInt(config.seed);
  const order = new EpochOrder(data.train.length, seed);
  let step = 0;
  let saved = -1;
  let seconds = 0;
  let skippedInARow = 0;
  let last: ({ step: number } & Record<string, unknown>) | undefined;
  // What the images of a position depend on, besides the seed.
  const source = fingerprint({ name: config.data.name, heldOut: config.data.heldOut });
  if (restarted) {
    await run.rewindMetrics(0);
    observer.note(`resuming ${run.path}, which was stopped before its first checkpoint, at step 0`);
  } else if (checkpoint) {
    const own = { seed, batch: config.batch, source };
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
  await run.write(recordFile, `${JSON.stringify({ ...config, output: run.path }, null, 2)}\n`);

  const save = async () => {
    if (saved === step) return;
    await writeCheckpoint(run.checkpoints, step, config.checkpoints.keep, async (directory) => {
      const weights = task.weights();
      const state = {
        step,
        seed: String(seed),
        position: step * config.batch,
        source,
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

  observer.begin(config.steps, step);
  try {
    while (step < config.steps) {
      const start = performance.now();
      const { loss, accuracy } = await task.accumulate(drawBatch(config, data, order, seed, step), step);
      const learningRate = learningRateAt(config.optimizer, step, config.steps);
      const { gradNorm, skipped } = await optimizer.step(learningRate, config.optimizer.clip);
      skippedInARow = skipped ? skippedInARow + 1 : 0;
      step++;
      seconds += (performance.now() - start) / 1000;
      last = { step, loss, ...(accuracy !== undefined && { accuracy }), gradNorm, learningRate, seconds };
      await run.appendMetrics(last);
      if (skippedInARow >= patience) {
        throw new NonFiniteError(
          `the gradient was not finite in ${skippedInARow} steps in a row, up to step ${step}; try a lower optimizer.learningRate`,
        );
      }
      observer.advance(step, { loss, ...(accuracy !== undefined && { accuracy }) });
      if (task.drawSamples && 'samples' in config && config.samples.every && step % config.samples.every === 0) {
        await run.writeSamples(step, await task.drawSamples(optimizer));
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
  return finish(config, task, run, observer, step);
}

function drawBatch(config: Config, data: LabelledImages, order: EpochOrder, seed: bigint, step: number): Batch {
  const rows = order.slice(step * config.batch, config.batch).map((position) => data.train[position]!);
  const labels = rows.map((row) => data.labels[row]!);
  const { shift } = config.data;
  if (shift === 0) return { rows, labels, shifts: undefined };
  const random = new RandomStream(seed, streamOf(step, 1, Purpose.data));
  const shifts = Int32Array.from({ length: 2 * rows.length }, () => random.below(2 * shift + 1) - shift);
  return { rows, labels, shifts };
}

async function finish(
  config: Config,
  task: Task,
  run: RunDirectory,
  observer: JobObserver,
  step: number,
): Promise<PretrainResult> {
  const averaged = averagedWeights(task.optimizer);
  const own = averaged ?? task.weights();
  const stored: Record<string, Tensor> = {};
  try {
    for (const [name, tensor] of Object.entries(own))
      stored[name] = await tensor.to({ dtype: config.storage, device: 'cpu' });
    // What this run was writing when it was killed: the directory is its own.
    await removeUnfinished(run.path, 0);
    await saveTensors(join(run.path, weightsFile), stored, { format: 'pt' });
    if (task.drawSamples) {
      observer.note(`samples: ${await run.writeSamples(step, await task.drawSamples(task.optimizer))}`);
    }
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
