import { execFile } from 'node:child_process';
import { readFile } from 'node:fs/promises';
import { freemem, totalmem } from 'node:os';
import { promisify } from 'node:util';

import { binding } from '../../runtime/native/index.js';

/** In bytes. */
export interface DeviceMemory {
  free: number;
  total: number;
}

/** @throws ConfigError for a device that is not there */
export async function deviceMemory(device: string): Promise<DeviceMemory> {
  if (device !== 'cpu') return binding().cudaMemory(device);
  // What Linux could free at once, file caches included, is there to be had.
  const available = /^MemAvailable:\s+(\d+) kB$/m.exec(await readFile('/proc/meminfo', 'utf8').catch(() => ''))?.[1];
  const free = available ? Number(available) * 1024 : availableOnMac(await vmStat());
  return { free: free ?? freemem(), total: totalmem() };
}

/**
 * The memory that macOS could free at once, caches included, in bytes.
 * @param text what vm_stat prints
 * @returns undefined where that is something else
 */
export function availableOnMac(text: string): number | undefined {
  const size = /page size of (\d+) bytes/.exec(text)?.[1];
  const pages = ['free', 'inactive', 'speculative', 'purgeable'].map(
    (kind) => new RegExp(`^Pages ${kind}:\\s+(\\d+)\\.$`, 'm').exec(text)?.[1],
  );
  if (size === undefined || pages.includes(undefined)) return undefined;
  return Number(size) * pages.reduce((sum, count) => sum + Number(count), 0);
}

const vmStat = (): Promise<string> =>
  process.platform !== 'darwin'
    ? Promise.resolve('')
    : promisify(execFile)('vm_stat').then(
        ({ stdout }) => stdout,
        () => '',
      );
