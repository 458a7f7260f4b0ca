import { constants } from 'node:fs';
import { open } from 'node:fs/promises';

const signature = Buffer.from([0x89, 0x50, 0x4e, 0x47, 0x0d, 0x0a, 0x1a, 0x0a]);

/** Reads a PNG; undefined for what is none: a link, which could lead out of the run's folder, or another file. */
export async function readGrid(path: string): Promise<Buffer | undefined> {
  const handle = await open(path, constants.O_RDONLY | (constants.O_NOFOLLOW ?? 0)).catch(() => undefined);
  if (!handle) return undefined;
  try {
    if (!(await handle.stat()).isFile()) return undefined;
    const bytes = await handle.readFile();
    return bytes.subarray(0, signature.length).equals(signature) ? bytes : undefined;
  } finally {
    await handle.close();
  }
}
