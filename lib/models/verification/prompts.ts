import { z } from 'zod';

import { CheckpointError } from '../../errors.js';
import { binding } from '../../runtime/native/index.js';
import type { Tensor } from '../../runtime/native/tensor.js';
import type { ModelDType } from '../model.js';
import { zeros, type Elements } from '../pipeline/prompt-encoding.js';
import type { GoldenComparison } from './finding.js';
import type { Goldens } from './goldens.js';

/** The prompts of the goldens' metadata; undefined where there are none. @throws CheckpointError for other texts */
export function goldenPrompts({ metadata, path }: Goldens): string[] | undefined {
  if (metadata['prompts'] === undefined) return undefined;
  try {
    return z.array(z.string()).min(1).parse(JSON.parse(metadata['prompts']));
  } catch (error) {
    throw new CheckpointError(`${path}: "prompts" in its metadata is not a JSON array of strings`, { cause: error });
  }
}

/** Compares rows of token ids, or of marks. One wrong id is a wrong text, however near the numbers. */
export function compareRows(goldens: Goldens, name: string, rows: readonly Int32Array[]): Promise<GoldenComparison> {
  const all = Int32Array.from(rows.flatMap((row) => [...row]));
  return goldens.compare(name, binding().Tensor.from(all, [rows.length, rows[0]!.length]), { tolerance: 0 });
}

/** One tensor of the prompts' own, of this shape each. */
export function stackRows(rows: readonly Elements[], shape: readonly number[], dtype: ModelDType): Tensor {
  const length = rows[0]!.length;
  const all = zeros(dtype, rows.length * length);
  for (const [index, row] of rows.entries()) all.set(row, index * length);
  return binding().Tensor.from(all, [rows.length, ...shape], { dtype });
}
