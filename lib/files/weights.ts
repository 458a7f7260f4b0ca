import { extname } from 'node:path';

import { CheckpointError, EamError } from '../errors.js';
import type { NativeWeightFiles } from '../runtime/native/binding.js';
import { binding } from '../runtime/native/index.js';
import { refusePointer } from './git-lfs.js';
import { readHeader } from './safetensors.js';
import type { TensorEntry } from './safetensors-header.js';

/** A file of a network's weights, .safetensors or of torch.save, and what is taken of it. */
export interface WeightFile {
  path: string;
  /** Where names begin so, only those tensors are taken, without this beginning. */
  within?: string | undefined;
  /** Only tensors whose names begin like one of these are taken; left out: all. */
  only?: readonly string[] | undefined;
  /** Put before every name, for a part of the network that comes from a file of its own. */
  under?: string | undefined;
}

/**
 * Opens files of weights for a network: safetensors are mapped into memory, files of torch.save read through LibTorch's
 * restricted unpickler. The caller disposes of them; a network made from them keeps its own hold.
 * @throws CheckpointError for files that are missing or damaged, and for a tensor that two of them hold
 */
export async function openWeights(files: readonly WeightFile[]): Promise<NativeWeightFiles> {
  const described = files.map(async (file) => {
    if (extname(file.path) === '.safetensors') {
      const { entries } = await readHeader(file.path);
      refuseScaled(entries, file.path);
      return { ...file, entries };
    }
    await refusePointer(file.path);
    return { ...file, entries: undefined };
  });
  return binding().openWeights(await Promise.all(described));
}

/**
 * Refuses numbers of 8 bits that count only with scales beside them, by the names that ComfyUI and others give those.
 * @throws CheckpointError
 */
export function refuseScaled(entries: readonly TensorEntry[], path: string): void {
  if (!entries.some(({ stored }) => stored !== undefined)) return;
  const scale = entries.find(({ name }) => /(^|\.)(scaled_fp8|(scale_weight|weight_scale)(_2|_inv)?)$/.test(name));
  if (!scale) return;
  throw new CheckpointError(
    `${path}: its weights are in 8 bits with scales (${scale.name}), and such are not read: take the model's in F32, ` +
      'BF16 or F16, or in F8_E4M3 without scales',
  );
}

/**
 * Makes a network from files of weights.
 * @param source where they are from, for the messages of errors that `make` throws: a job may have several networks
 * @throws CheckpointError as {@link openWeights} does; what `make` throws
 */
export async function withWeights<Network>(
  source: string,
  files: readonly WeightFile[],
  make: (weights: NativeWeightFiles) => Promise<Network>,
): Promise<Network> {
  const weights = await openWeights(files);
  try {
    return await make(weights);
  } catch (error) {
    if (error instanceof EamError) error.message = `${source}: ${error.message}`;
    throw error;
  } finally {
    weights.dispose();
  }
}

/** The shapes of tensors by their names. */
export const shapesOf = (weights: NativeWeightFiles): Record<string, readonly number[]> =>
  Object.fromEntries(weights.tensors().map(({ name, shape }) => [name, shape]));
