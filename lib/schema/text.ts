// Files of text as people have them: with byte order marks, in UTF-16, or not there but a pointer in their place.

import { readFile } from 'node:fs/promises';

import { ConfigError } from '../errors.js';

/**
 * Reads a file of text.
 * @throws ConfigError if it is missing, is no text, or is only a pointer of Git LFS to it
 */
export async function readText(path: string): Promise<string> {
  let bytes: Buffer;
  try {
    bytes = await readFile(path);
  } catch (error) {
    throw new ConfigError(`cannot read ${path}: ${(error as Error).message}`, { cause: error });
  }
  const problem = pointerProblem(bytes);
  if (problem) throw new ConfigError(`${path} ${problem}`);
  try {
    return decodeText(bytes);
  } catch (error) {
    throw new ConfigError(`${path} is no text: ${(error as Error).message}`, { cause: error });
  }
}

/** What a file is that Git LFS left in the place of another; undefined for every other file. */
export function pointerProblem(start: Uint8Array): string | undefined {
  const isPointer = Buffer.from(start.subarray(0, pointerStart.length)).toString('latin1') === pointerStart;
  return isPointer
    ? 'is a pointer of Git LFS and not the file itself: run "git lfs pull" where it was cloned, or download the file'
    : undefined;
}

const pointerStart = 'version https://git-lfs';
/** As many bytes tell a pointer. */
export const pointerLength = pointerStart.length;

/** What the first bytes say of an encoding, such as those that PowerShell and Excel write. */
function markedEncoding(bytes: Uint8Array): 'utf-16le' | 'utf-16be' | undefined {
  if (bytes[0] === 0xff && bytes[1] === 0xfe) return 'utf-16le';
  return bytes[0] === 0xfe && bytes[1] === 0xff ? 'utf-16be' : undefined;
}

/** Whether a text says by a byte order mark that it is UTF-16. */
export const isUtf16 = (bytes: Uint8Array): boolean => markedEncoding(bytes) !== undefined;

/**
 * Decodes UTF-8, or UTF-16 that says so by its byte order mark; the mark is left out.
 * @throws TypeError for bytes that are no such text
 */
export const decodeText = (bytes: Uint8Array): string =>
  new TextDecoder(markedEncoding(bytes) ?? 'utf-8', { fatal: true }).decode(bytes);
