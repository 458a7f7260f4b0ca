import { existsSync } from 'node:fs';
import { extname } from 'node:path';

import { z } from 'zod';

import { expected } from '../schema/validate.js';
import { checkOptions, checkText } from '../schema/options.js';
import { ConfigError } from '../errors.js';
import { binding } from '../runtime/native/index.js';
import { refusePointer } from '../files/git-lfs.js';
import { checkOutput } from '../files/output-path.js';
import { disposeAll, saveTensors } from '../files/safetensors.js';

/** What {@link convert} wrote. */
export interface Converted {
  /** How many were written. */
  tensors: number;
  /** How many numbers all of them have together. */
  parameters: number;
}

/**
 * Reads the tensors of a file of torch.save, through LibTorch's restricted unpickler, and writes them as safetensors
 * with their names and types. Names in nested dictionaries are joined by dots; whatever is no tensor is left out.
 * @param options `force`: overwrite `out`
 * @throws CheckpointError for a file that holds anything else, ConfigError where `out` is there already, or is a
 * directory
 */
export async function convert(
  file: string,
  out: string,
  options: { force?: boolean | undefined } = {},
): Promise<Converted> {
  checkText(file, 'file', 'convert');
  checkText(out, 'out', 'convert');
  checkOptions({ force: z.boolean() }, options, 'convert options');
  const { force = false } = options;
  if (extname(out) !== '.safetensors') throw new ConfigError(expected('out', 'a file that ends in .safetensors', out));
  await checkOutput(out, 'file');
  if (!force && existsSync(out)) throw new ConfigError(`${out} is there already; --force overwrites it`);
  await refusePointer(file);
  const tensors = await binding().readTorchFile(file);
  try {
    // transformers refuses a file that does not say what framework its tensors are of.
    await saveTensors(out, tensors, { format: 'pt' });
    const all = Object.values(tensors);
    return {
      tensors: all.length,
      parameters: all.reduce((sum, { shape }) => sum + shape.reduce((a, b) => a * b, 1), 0),
    };
  } finally {
    disposeAll(tensors);
  }
}
