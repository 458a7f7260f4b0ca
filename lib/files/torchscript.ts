import { open } from 'node:fs/promises';

import { ConfigError } from '../errors.js';
import { expected } from '../schema/validate.js';
import { pointerLength, pointerProblem } from '../schema/text.js';

/**
 * Refuses a file that is no archive as torch.jit.save writes them: LibTorch has readers of other formats, which are not
 * for files of unknown origin. Nothing of the file is run.
 * @throws ConfigError that names the file and says what it is instead, or that it is not there
 */
export async function refuseNoArchive(path: string): Promise<void> {
  let start: Uint8Array;
  try {
    start = await firstBytes(path, pointerLength);
  } catch (error) {
    const { code, message } = error as NodeJS.ErrnoException;
    throw new ConfigError(`${path}: ${code === 'ENOENT' ? 'there is no such file' : message}`, { cause: error });
  }
  const problem = pointerProblem(start);
  if (problem) throw new ConfigError(`${path}: it ${problem}`);
  const found = formatOf(start);
  const wanted = 'a module saved by torch.jit.script(…).save or torch.jit.trace(…).save';
  if (found) throw new ConfigError(`${path}: ${expected('the file', wanted, found)}`);
}

async function firstBytes(path: string, count: number): Promise<Uint8Array> {
  const file = await open(path);
  try {
    const { bytesRead, buffer } = await file.read(Buffer.alloc(count), 0, count, 0);
    return buffer.subarray(0, bytesRead);
  } finally {
    await file.close();
  }
}

/** What a file is that does not begin as a zip archive does. */
function formatOf(start: Uint8Array): string | undefined {
  const text = Buffer.from(start).toString('latin1');
  if (text.startsWith('PK\x03\x04')) return undefined;
  if (start.length === 0) return 'an empty file';
  if (start[0] === 0x80 && start[1]! >= 2 && start[1]! <= 5) return 'a Python pickle, which is never opened';
  if (text.slice(8, 9) === '{' && start[6] === 0 && start[7] === 0)
    return 'a safetensors file, which holds weights only';
  if (text.slice(4, 8) === 'PTMF') return 'a module for mobile devices';
  return 'no archive';
}
