// The CUDA variant, compiled for one architecture, and a CUDA LibTorch with all of its libraries. `npm run test:cuda`
// asks for them; `npm test` has no time to compile them.
import { fileURLToPath } from 'node:url';
import { vi } from 'vitest';

import { fetchLibTorch, missingLibraries } from '../../lib/jobs/build/fetch-libtorch.js';
import { buildNative } from '../../lib/jobs/build/native-build.js';
import { BuildError } from '../../lib/jobs/build/run-command.js';
import { findExecutable } from '../../lib/jobs/build/tools.js';
import { cacheDirectory, findLibTorch } from '../../lib/runtime/native/libtorch.js';

export interface CudaVariant {
  /** The addon's folder. */
  directory: string;
  /** The LibTorch's folder. */
  libtorch: string;
}

/** Why there is no CUDA variant to be tested, or undefined. */
export function whyNotCuda(): string | undefined {
  if (process.env['EAM_CUDA'] !== '1') return 'compiling it takes minutes: npm run test:cuda';
  return findExecutable(['nvcc']) ? undefined : 'nvcc is not on PATH, so the CUDA variant cannot be compiled here';
}

/** @returns why there is none, where a machine has nothing to fetch a CUDA LibTorch from */
export async function cudaVariant(): Promise<CudaVariant | { reason: string }> {
  // A CPU LibTorch asked for elsewhere does not serve here; EAM_CUDA_LIBTORCH names one that does.
  for (const name of ['EAM_TORCH_LIBTORCH', 'LIBTORCH']) vi.stubEnv(name, process.env['EAM_CUDA_LIBTORCH'] ?? '');
  try {
    const libtorch = await wholeLibTorch();
    if (typeof libtorch !== 'string') return libtorch;
    const { directory } = await buildNative({
      variant: 'cuda',
      libtorch,
      output: fileURLToPath(new URL('../../build/cuda-link-test', import.meta.url)),
      cudaArchitectures: '90-real',
      report: console.log,
    });
    return { directory, libtorch };
  } finally {
    vi.unstubAllEnvs();
  }
}

async function wholeLibTorch(): Promise<string | { reason: string }> {
  const found = findLibTorch('cuda');
  if (found && missingLibraries(found.directory, 'cuda').length === 0) return found.directory;
  const python = findExecutable(['python3']);
  if (!python) return { reason: 'there is no whole CUDA LibTorch here, and no python3 to fetch one with' };
  try {
    return await fetchLibTorch({ variant: 'cuda', cache: cacheDirectory(), python, report: console.log });
  } catch (error) {
    if (error instanceof BuildError)
      return { reason: `there is no whole CUDA LibTorch here, and none could be fetched: ${error.message}` };
    throw error;
  }
}
