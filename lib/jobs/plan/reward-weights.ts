import { open, stat } from 'node:fs/promises';

import type { ModelDType } from '../../models/model.js';
import type { WeightsFile } from '../../rewards/reward-kind.js';
import { readHeader } from '../../files/safetensors.js';
import { elementBytes, isFloating } from '../../models/footprint.js';

/**
 * Bytes that the weights in these files take once they are loaded.
 * @throws CheckpointError for a safetensors file that is missing, cut short or damaged
 */
export async function loadedBytes(files: readonly WeightsFile[]): Promise<number> {
  const sizes = await Promise.all(
    files.map((file) => (file.path.endsWith('.safetensors') ? ofSafetensors(file) : ofPickle(file))),
  );
  return sizes.reduce((sum, size) => sum + size, 0);
}

async function ofSafetensors({ path, dtype, only }: WeightsFile): Promise<number> {
  const { entries } = await readHeader(path);
  return entries.reduce((sum, { name, dtype: stored, shape }) => {
    if (!isFloating(stored) || (only && !only.some((beginning) => name.startsWith(beginning)))) return sum;
    return sum + shape.reduce((product, length) => product * length, elementBytes[dtype ?? stored]);
  }, 0);
}

/** What a file of torch.save calls its tensors' memory, by the dtype; `persistent_id` of PyTorch's serialization.py. */
const storages = {
  Double: 'float64',
  Float: 'float32',
  BFloat16: 'bfloat16',
  Half: 'float16',
} as const satisfies Record<string, ModelDType>;

/**
 * The pickle that names every tensor is the archive's first record; that of a network of a thousand tensors is shorter.
 */
const pickleBytes = 2 ** 20;

/**
 * From the size of the file, which is little else than numbers, and what its pickle says that they are; of several
 * dtypes the narrowest.
 */
async function ofPickle({ path, dtype }: WeightsFile): Promise<number> {
  const { size } = await stat(path);
  if (dtype === undefined) return size;
  const names = new Set(
    Array.from((await firstBytes(path, pickleBytes)).matchAll(/torch\n(\w+)Storage\n/g), ([, name]) => name!),
  );
  const stored = Object.entries(storages).flatMap(([name, type]) => (names.has(name) ? [elementBytes[type]] : []));
  return stored.length ? (size * elementBytes[dtype]) / Math.min(...stored) : size;
}

async function firstBytes(path: string, count: number): Promise<string> {
  const file = await open(path);
  try {
    const { bytesRead, buffer } = await file.read(Buffer.alloc(count), 0, count, 0);
    return buffer.toString('latin1', 0, bytesRead);
  } finally {
    await file.close();
  }
}
