import { readdir, stat } from 'node:fs/promises';
import { join } from 'node:path';

import type { RewardConfig } from '../rewards/registry.js';

/** Formats of weights; of a directory with several, the first is what is read. */
const extensions = ['.safetensors', '.bin', '.pt', '.pth'];

/** Bytes of a reward's weights, as stored: the files in the directories that its configuration names. 0 where it names none. */
export async function rewardWeights(reward: RewardConfig): Promise<number> {
  const named = reward as { directory?: string; tower?: string; file?: string };
  const sizes = await Promise.all([named.directory, named.tower].map((directory) => (directory === undefined ? 0 : weightsIn(directory))));
  const file = named.file === undefined ? 0 : await stat(named.file).then(({ size }) => size, () => 0);
  return sizes.reduce((sum, size) => sum + size, file);
}

async function weightsIn(directory: string): Promise<number> {
  const names = await readdir(directory).catch(() => []);
  for (const extension of extensions) {
    const files = names.filter((name) => name.endsWith(extension) && name !== 'goldens.safetensors');
    if (files.length === 0) continue;
    const sizes = await Promise.all(files.map(async (name) => (await stat(join(directory, name))).size));
    return sizes.reduce((sum, size) => sum + size, 0);
  }
  return 0;
}
