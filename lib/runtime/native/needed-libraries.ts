// What a shared library needs, and where its own search path has it: read from the file, so that all of it can be
// opened by absolute path. The dynamic linker would ask LD_LIBRARY_PATH first, where the search path is a RUNPATH.

import { closeSync, existsSync, openSync, readSync } from 'node:fs';
import { dirname, join } from 'node:path';

/** A library that another one needs by `name`; without a path where only the system's folders can have it. */
export interface NeededLibrary {
  name: string;
  path?: string;
}

interface Dynamic {
  needed: string[];
  folders: string[];
}

const loadSegment = 1;
const dynamicSegment = 2;
const tags = { needed: 1n, stringTable: 5n, rpath: 15n, runpath: 29n };
const longestString = 4096;
const largestTable = 2 ** 20;

/**
 * The dynamic section of a 64-bit little-endian ELF file; empty for what is none, which the dynamic linker then
 * refuses.
 */
function readDynamic(path: string): Dynamic {
  const none = { needed: [], folders: [] };
  const file = openSync(path, 'r');
  try {
    const read = (offset: number, length: number): Buffer => {
      const buffer = Buffer.alloc(length);
      return buffer.subarray(0, readSync(file, buffer, 0, length, offset));
    };
    const header = read(0, 64);
    if (header.length < 64 || header.readUInt32BE(0) !== 0x7f454c46 || header[4] !== 2 || header[5] !== 1) return none;
    const entrySize = header.readUInt16LE(54);
    const table = read(Number(header.readBigUInt64LE(32)), entrySize * header.readUInt16LE(56));
    const segments = Array.from({ length: Math.floor(table.length / entrySize) }, (_, index) => {
      const at = index * entrySize;
      const word = (offset: number): number => Number(table.readBigUInt64LE(at + offset));
      return { type: table.readUInt32LE(at), offset: word(8), address: word(16), size: word(32) };
    });
    const found = segments.find(({ type }) => type === dynamicSegment);
    if (!found || found.size > largestTable) return none;

    const section = read(found.offset, found.size);
    const entries = Array.from({ length: Math.floor(section.length / 16) }, (_, index) => ({
      tag: section.readBigUInt64LE(index * 16),
      value: Number(section.readBigUInt64LE(index * 16 + 8)),
    }));
    const strings = entries.find(({ tag }) => tag === tags.stringTable)?.value;
    const holder = segments.find(
      ({ type, address, size }) =>
        type === loadSegment && strings !== undefined && strings >= address && strings < address + size,
    );
    if (strings === undefined || !holder) return none;
    const text = ({ value }: { value: number }): string => {
      const bytes = read(strings - holder.address + holder.offset + value, longestString);
      return bytes.toString('utf8', 0, Math.max(0, bytes.indexOf(0)));
    };
    const origin = dirname(path);
    return {
      needed: entries.filter(({ tag }) => tag === tags.needed).map(text),
      folders: entries
        .filter(({ tag }) => tag === tags.runpath || tag === tags.rpath)
        .flatMap((entry) => text(entry).split(':'))
        .map((folder) => folder.replace(/\$ORIGIN|\$\{ORIGIN\}/g, origin))
        .filter((folder) => folder.startsWith('/')),
    };
  } catch (error) {
    if ((error as Error).name === 'RangeError') return none; // numbers that lead out of the file
    throw error;
  } finally {
    closeSync(file);
  }
}

/**
 * Everything that the library at `path` needs, and what that needs, each once and after what it needs itself. A library
 * is looked for in the folders that the file names, then in its own, then where those that need it were looked for.
 */
export function neededLibraries(path: string): NeededLibrary[] {
  const found = new Map<string, NeededLibrary>();
  const visit = (library: string, inherited: readonly string[]): void => {
    const { needed, folders } = readDynamic(library);
    const places = [...new Set([...folders, dirname(library), ...inherited])];
    for (const name of needed) {
      if (found.has(name) || name.includes('/')) continue;
      const file = places.map((place) => join(place, name)).find((candidate) => existsSync(candidate));
      const entry: NeededLibrary = file === undefined ? { name } : { name, path: file };
      found.set(name, entry);
      if (file === undefined) continue;
      visit(file, places);
      found.delete(name);
      found.set(name, entry); // behind what it needs
    }
  };
  visit(path, []);
  return [...found.values()];
}
