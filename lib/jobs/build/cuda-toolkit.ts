// Whether set-up builds the CUDA variant without being asked: where a GPU is and nvcc, which compiles for it.

import { spawnSync } from 'node:child_process';
import { readdirSync } from 'node:fs';

import { findExecutable } from './tools.js';

export interface CudaToolkit {
  readonly usable: boolean;
  /** Set where there is a GPU that nothing can be compiled for. */
  readonly because?: string;
}

/** The driver's devices are called nvidia0, nvidia1, …; others beside them (nvidiactl) are there without a GPU, too. */
function hasDevice(devices: string): boolean {
  try {
    return readdirSync(devices).some((name) => /^nvidia\d+$/.test(name));
  } catch {
    return false;
  }
}

function hasGpu(path: string, devices: string): boolean {
  const program = findExecutable(['nvidia-smi'], path);
  if (program) {
    const { status, stdout } = spawnSync(program, ['-L'], { encoding: 'utf8', timeout: 60_000 });
    if (status === 0 && /^GPU \d/m.test(stdout)) return true;
  }
  return hasDevice(devices);
}

/** Looks for a GPU (nvidia-smi, or its device file) and for nvcc on `path`. */
export function findCudaToolkit(path = process.env['PATH'] ?? '', devices = '/dev'): CudaToolkit {
  if (!hasGpu(path, devices)) return { usable: false };
  if (findExecutable(['nvcc'], path)) return { usable: true };
  return { usable: false, because: 'there is a GPU, but nvcc, the CUDA compiler, is not on PATH' };
}
