import { readFile } from 'node:fs/promises';
import { freemem, totalmem } from 'node:os';

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
  return { free: available ? Number(available) * 1024 : freemem(), total: totalmem() };
}
