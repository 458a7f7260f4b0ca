import { open, type FileHandle } from 'node:fs/promises';

/** A place in a file of lines: which file it is, and the byte at which a line begins. */
export interface Place {
  /**
   * The number of the file. It changes when a resumed run cuts what it logs again, since another file then takes the
   * path.
   */
  file: number;
  offset: number;
}

/** The place before the first line of a file that is not there yet. */
const nowhere: Place = { file: 0, offset: 0 };

const newLine = 0x0a;
/** Bytes that are read at a time: a reader that is far behind gets the rest the next time. */
const portion = 2 ** 20;

/** The lines that were appended to a file of JSON lines. */
export interface Appended {
  /**
   * Undefined where the file is another one, or shorter than it was, so that the lines that were read no longer hold.
   */
  rows: object[] | undefined;
  place: Place;
}

/**
 * Reads the whole lines from `from` on; a line that is no JSON object is passed over.
 * @throws the file system's error
 */
export async function readAppended(path: string, from: Place): Promise<Appended> {
  const handle = await open(path).catch((error: NodeJS.ErrnoException) => {
    if (error.code === 'ENOENT') return undefined;
    throw error;
  });
  // A file that is being replaced is there again the next time.
  if (!handle) return { rows: [], place: from };
  try {
    const { ino, size } = await handle.stat();
    const isNew = from.file === 0 && from.offset === 0;
    if ((!isNew && ino !== from.file) || size < from.offset)
      return { rows: undefined, place: { file: ino, offset: 0 } };
    if (size === from.offset) return { rows: [], place: { file: ino, offset: size } };
    const { lines, bytes } = await wholeLines(handle, from.offset);
    return { rows: lines.flatMap(objectIn), place: { file: ino, offset: from.offset + bytes } };
  } finally {
    await handle.close();
  }
}

/** The place after the last whole line that a file holds now; before all of them where that one is very long. */
export async function endOf(path: string): Promise<Place> {
  const handle = await open(path).catch(() => undefined);
  if (!handle) return nowhere;
  try {
    const { ino, size } = await handle.stat();
    const start = Math.max(0, size - portion);
    const { buffer, bytesRead } = await handle.read(Buffer.alloc(size - start), 0, size - start, start);
    const end = buffer.subarray(0, bytesRead).lastIndexOf(newLine) + 1;
    return { file: ino, offset: end && start + end };
  } finally {
    await handle.close();
  }
}

/** The lines that are whole, of at most a portion unless the first is longer. */
async function wholeLines(handle: FileHandle, offset: number): Promise<{ lines: string[]; bytes: number }> {
  for (let length = portion; ; length *= 2) {
    const { buffer, bytesRead } = await handle.read(Buffer.alloc(length), 0, length, offset);
    const bytes = buffer.subarray(0, bytesRead).lastIndexOf(newLine) + 1;
    if (bytes === 0 && bytesRead === length) continue;
    return { lines: buffer.subarray(0, bytes).toString('utf8').split('\n').slice(0, -1), bytes };
  }
}

function objectIn(line: string): object[] {
  try {
    const row = JSON.parse(line) as unknown;
    return typeof row === 'object' && row !== null ? [row] : [];
  } catch {
    return [];
  }
}
