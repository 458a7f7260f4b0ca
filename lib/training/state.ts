import { createHash } from 'node:crypto';
import { readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';

import { z } from 'zod';

import { expected } from '../schema/validate.js';
import { verifyCheckpoint } from '../files/checkpoints.js';
import { CheckpointError } from '../errors.js';
import type { NativeOptimizer } from '../runtime/native/binding.js';
import { disposeAll, readTensors, saveTensors } from '../files/safetensors.js';
import type { Tensor } from '../runtime/native/tensor.js';
import { belongings, refuseOthers, type Belonging, type BelongsTo } from './belonging.js';
import { versions } from '../runtime/versions.js';

const tensorsFile = 'training.safetensors';
/** The file of a checkpoint that says what it is of. */
export const stateFile = 'state.json';
const weightPrefix = 'weights.';

const stateSchema = z.strictObject({
  step: z.int().min(0),
  /** As text: a seed has 64 bits. */
  seed: z.string().regex(/^\d+$/),
  optimizerSteps: z.int().min(0),
  /** The next prompt or image to be drawn, as a position in the seeded endless order. */
  position: z.int().min(0),
  /** What the run belongs to. Of the data, positions count: with others, the same position is another one's. */
  belongsTo: z.partialRecord(z.enum(belongings), z.string()),
  /** Steps in a row, up to the last, that were left out or lost too many samples: see `nonFinite` and `patience`. */
  badInARow: z.int().min(0),
  /** Metrics of step `step`, for a run that stopped before it recorded them; null before the first. */
  last: z.record(z.string(), z.unknown()).nullable(),
  algorithm: z.record(z.string(), z.array(z.number())),
  totals: z.record(z.string(), z.number()),
  versions: z.record(z.string(), z.string()),
});

/** What a run needs to go on exactly where it stopped, besides its configuration. */
export type TrainingState = Omit<z.output<typeof stateSchema>, 'versions' | 'optimizerSteps'>;

/** What a checkpoint must be of, for a run to go on from it. */
export interface OwnRun {
  seed: bigint;
  batch: number;
  belongsTo: BelongsTo;
  /** What of `belongsTo` may differ. */
  allow?: readonly Belonging[] | undefined;
}

/** What the run that wrote a checkpoint belonged to. @throws CheckpointError where its state cannot be read */
export const belongsToOf = async (directory: string): Promise<BelongsTo> => (await readState(directory)).belongsTo;

/** A fingerprint of settings, such as the prompts that a run draws from. */
export function fingerprint(source: unknown): string {
  return createHash('sha256').update(JSON.stringify(source)).digest('hex');
}

/** Writes weights, optimizer and counters into a checkpoint's directory. */
export async function writeTrainingState(
  directory: string,
  state: TrainingState,
  weights: Readonly<Record<string, Tensor>>,
  optimizer: NativeOptimizer,
): Promise<void> {
  const moments = optimizer.state();
  try {
    const named = Object.entries(weights).map(([name, tensor]) => [weightPrefix + name, tensor] as const);
    await saveTensors(join(directory, tensorsFile), { ...Object.fromEntries(named), ...moments });
  } finally {
    disposeAll(moments);
  }
  // Checked before it is written: JSON would turn a quantile that is not finite into null, which nobody could load.
  const full = stateSchema.parse({ ...state, optimizerSteps: optimizer.stepCount, versions: versions() });
  await writeFile(join(directory, stateFile), `${JSON.stringify(full, null, 2)}\n`);
}

/**
 * Reads a checkpoint back.
 * @param loadWeights copies the weights into the network
 * @throws CheckpointError if a file is missing, changed or of another model, or the run had another seed or batch, or
 *   belonged to something else; of these, only one that names tensors can leave weights changed
 */
export async function readTrainingState(
  directory: string,
  { seed, batch, belongsTo, allow }: OwnRun,
  loadWeights: (weights: Record<string, Tensor>) => Promise<void>,
  optimizer: NativeOptimizer,
): Promise<TrainingState> {
  const { step } = await verifyCheckpoint(directory, [stateFile, tensorsFile]);
  const { versions: _, optimizerSteps, ...state } = await readState(directory);
  if (state.step !== step) {
    throw new CheckpointError(
      `checkpoint ${directory} cannot be used: its manifest is of step ${step}, its ${stateFile} of step ${state.step}`,
    );
  }
  if (state.seed !== String(seed)) {
    throw new CheckpointError(expected(directory, `a run with seed ${seed}, as this one has`, state.seed));
  }
  // Another batch would draw some prompts or images twice and leave others out.
  if (state.position !== state.step * batch) {
    throw new CheckpointError(
      expected(
        directory,
        `a run with batch ${batch}, as this one has`,
        `${state.position / state.step}; go on with the same`,
      ),
    );
  }
  refuseOthers(directory, state.belongsTo, belongsTo, allow);
  // Read, not mapped: whoever cuts the file short now must not end the run.
  const tensors = await readTensors(join(directory, tensorsFile));
  try {
    const weights: Record<string, Tensor> = {};
    const moments: Record<string, Tensor> = {};
    for (const [name, tensor] of Object.entries(tensors)) {
      if (name.startsWith(weightPrefix)) weights[name.slice(weightPrefix.length)] = tensor;
      else moments[name] = tensor;
    }
    await loadWeights(weights);
    await optimizer.load(moments, optimizerSteps);
  } finally {
    disposeAll(tensors);
  }
  return state;
}

async function readState(directory: string): Promise<z.output<typeof stateSchema>> {
  const path = join(directory, stateFile);
  try {
    return stateSchema.parse(JSON.parse(await readFile(path, 'utf8')));
  } catch (error) {
    throw new CheckpointError(`${path} is not the state of a run: ${(error as Error).message}`, { cause: error });
  }
}

/** The averaged weights, where the optimizer averages. */
export function averagedWeights(optimizer: NativeOptimizer): Record<string, Tensor> | undefined {
  const prefix = 'ema.';
  const averaged: Record<string, Tensor> = {};
  for (const [name, tensor] of Object.entries(optimizer.state())) {
    if (name.startsWith(prefix)) averaged[name.slice(prefix.length)] = tensor;
    else tensor.dispose();
  }
  return Object.keys(averaged).length ? averaged : undefined;
}
