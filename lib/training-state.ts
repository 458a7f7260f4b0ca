import { readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';

import { z } from 'zod';

import { verifyCheckpoint } from './checkpoints.js';
import { CheckpointError } from './errors.js';
import type { NativeOptimizer } from './native/binding.js';
import { disposeAll, loadTensors, saveTensors } from './safetensors.js';
import type { Tensor } from './tensor.js';
import { versions } from './versions.js';

const tensorsFile = 'training.safetensors';
const stateFile = 'state.json';
const weightPrefix = 'weights.';

const stateSchema = z.strictObject({
  step: z.int().min(0),
  /** As text: a seed has 64 bits. */
  seed: z.string().regex(/^\d+$/),
  optimizerSteps: z.int().min(0),
  /** The next prompt or image to be drawn, as a position in the seeded endless order. */
  position: z.int().min(0),
  algorithm: z.record(z.string(), z.array(z.number())),
  totals: z.record(z.string(), z.number()),
  versions: z.record(z.string(), z.string()),
});

/** What a run needs to go on exactly where it stopped, besides its configuration. */
export type TrainingState = Omit<z.output<typeof stateSchema>, 'versions' | 'optimizerSteps'>;

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
  const full = { ...state, optimizerSteps: optimizer.stepCount, versions: versions() };
  await writeFile(join(directory, stateFile), `${JSON.stringify(full, null, 2)}\n`);
}

/**
 * Reads a checkpoint back.
 * @param loadWeights copies the weights into the network
 * @throws CheckpointError if a file is missing, changed or of another model, or the run had another seed or batch
 */
export async function readTrainingState(
  directory: string,
  { seed, batch }: { seed: bigint; batch: number },
  loadWeights: (weights: Record<string, Tensor>) => Promise<void>,
  optimizer: NativeOptimizer,
): Promise<TrainingState> {
  await verifyCheckpoint(directory);
  const { versions: _, optimizerSteps, ...state } = await readState(directory);
  if (state.seed !== String(seed)) {
    throw new CheckpointError(`${directory} was written by a run with seed ${state.seed}, this run's is ${seed}`);
  }
  // Another batch would draw some prompts or images twice and leave others out.
  if (state.position !== state.step * batch) {
    throw new CheckpointError(
      `${directory} was written by a run with batch ${state.position / state.step}, this run's is ${batch}; go on with the same`,
    );
  }
  const tensors = await loadTensors(join(directory, tensorsFile));
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
