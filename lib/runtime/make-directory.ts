import { mkdirSync, statSync } from 'node:fs';
import { dirname, normalize } from 'node:path';

/**
 * Makes a directory and those above it that are missing. It tries each level twice at most: Node's own `recursive`
 * never returns where a directory is there and says of a new one in it that it is not, as /proc does.
 * @returns the topmost directory that was made; undefined where nothing had to be
 * @throws the file system's error for the level that could not be made
 */
export function makeDirectory(path: string): string | undefined {
  return makeLevel(normalize(path));
}

function makeLevel(path: string): string | undefined {
  try {
    mkdirSync(path);
    return path;
  } catch (error) {
    if (isDirectory(path)) return undefined;
    const parent = dirname(path);
    if ((error as NodeJS.ErrnoException).code !== 'ENOENT' || parent === path) throw error;
    const topmost = makeLevel(parent);
    return makeLast(path) ? (topmost ?? path) : topmost;
  }
}

/** Whether it was made here, and not by another process meanwhile. */
function makeLast(path: string): boolean {
  try {
    mkdirSync(path);
    return true;
  } catch (error) {
    if (isDirectory(path)) return false;
    throw error;
  }
}

/** A link to a directory is one as well. */
function isDirectory(path: string): boolean {
  try {
    return statSync(path).isDirectory();
  } catch {
    return false;
  }
}
