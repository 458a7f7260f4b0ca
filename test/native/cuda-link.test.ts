// The CUDA variant compiles with nvcc and links against a CUDA LibTorch on a machine that has no GPU.

import { execFileSync, spawnSync } from 'node:child_process';
import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { describe, expect, it, vi } from 'vitest';

import { fetchLibTorch } from '../../lib/jobs/build/fetch-libtorch.js';
import { buildNative } from '../../lib/jobs/build/native-build.js';
import { BuildError } from '../../lib/jobs/build/run-command.js';
import { findExecutable } from '../../lib/jobs/build/tools.js';
import { cacheDirectory, findLibTorch } from '../../lib/runtime/native/libtorch.js';
import { buildCheck } from '../helpers/native-check.js';

const root = fileURLToPath(new URL('../..', import.meta.url));
const minutes = 60_000;

/** The names of the kernels in native/kernels/*.cu. */
function kernelNames(): string[] {
  const folder = join(root, 'native', 'kernels');
  const text = readdirSync(folder)
    .filter((name) => name.endsWith('.cu'))
    .map((name) => readFileSync(join(folder, name), 'utf8'))
    .join('\n');
  return [...text.matchAll(/__global__\s+void\s+(?:__launch_bounds__\([^)]*\)\s*)?(\w+)/g)].map((match) => match[1]!);
}

/** Dynamic symbols of a library: those that it defines, or those that it cannot do without (weak ones it can). */
function symbols(library: string, which: '--defined-only' | '--undefined-only'): string[] {
  const text = execFileSync('nm', ['--dynamic', '--format=posix', which, library], {
    encoding: 'utf8',
    maxBuffer: 2 ** 30,
  });
  const dispensable = which === '--undefined-only' ? / [wv]\b/ : /^$/;
  return text
    .split('\n')
    .filter((line) => !dispensable.test(line))
    .map((line) => line.split(/[ @]/)[0]!);
}

/** A CUDA LibTorch's folder, or why there is none: a machine that cannot fetch one has nothing to test with. */
async function cudaLibTorch(): Promise<{ directory: string } | { reason: string }> {
  const found = findLibTorch('cuda');
  if (found) return found;
  const python = findExecutable(['python3']);
  if (!python) return { reason: 'there is no CUDA LibTorch here, and no python3 to fetch one with' };
  try {
    return {
      directory: await fetchLibTorch({ variant: 'cuda', cache: cacheDirectory(), python, report: console.log }),
    };
  } catch (error) {
    if (error instanceof BuildError)
      return { reason: `there is no CUDA LibTorch here, and none could be fetched: ${error.message}` };
    throw error;
  }
}

describe('the CUDA variant', () => {
  it('compiles, links and carries every kernel', { timeout: 30 * minutes }, async (context) => {
    if (!findExecutable(['nvcc'])) context.skip('nvcc is not on PATH, so the CUDA variant cannot be compiled here');
    // A CPU LibTorch asked for elsewhere does not serve here.
    vi.stubEnv('EAM_TORCH_LIBTORCH', '');
    vi.stubEnv('LIBTORCH', '');
    const libtorch = await cudaLibTorch();
    if ('reason' in libtorch) return context.skip(libtorch.reason);
    const output = join(root, 'build', 'cuda-link-test');
    const { directory } = await buildNative({
      variant: 'cuda',
      libtorch: libtorch.directory,
      output,
      cudaArchitectures: '90-real',
      report: console.log,
    });

    const addon = readFileSync(join(directory, 'eam_torch.node'));
    const kernels = kernelNames();
    expect(kernels.length).toBeGreaterThan(0);
    expect(kernels.filter((name) => !addon.includes(name))).toEqual([]);
    expect(addon.includes('.nv_fatbin')).toBe(true);
    expect(JSON.parse(readFileSync(join(directory, 'eam_torch.json'), 'utf8'))).toMatchObject({ variant: 'cuda' });

    // A shared object links with symbols missing; without a GPU's libraries it cannot be loaded to show that none is.
    const libraries = ['c10', 'torch_cpu', 'c10_cuda', 'torch_cuda'].map((name) =>
      join(libtorch.directory, 'lib', `lib${name}.so`),
    );
    const defined = new Set(libraries.flatMap((library) => symbols(library, '--defined-only')));
    const wanted = symbols(join(directory, 'eam_torch.node'), '--undefined-only').filter((name) =>
      /^_Z.*(3eam|2at|3c10|5torch)/.test(name),
    );
    expect(wanted.length).toBeGreaterThan(100);
    expect(wanted.filter((name) => !defined.has(name))).toEqual([]);

    // What compares CUDA with the CPU where there is a device, and says so where there is none.
    const check = readFileSync(buildCheck(directory, 'check_ops'));
    expect(kernels.filter((name) => !check.includes(name))).toEqual([]);
    for (const name of ['check_cuda_sizes', 'check_cuda_graph', 'bench_cuda'])
      expect(readFileSync(buildCheck(directory, name)).includes('affine_kernel'), name).toBe(true);
    // Each finds LibTorch by itself, and says that there is no device (or, on a machine with one, checks it).
    const alone = { ...process.env };
    delete alone['LD_LIBRARY_PATH'];
    const graph = spawnSync(join(directory, 'check_cuda_graph'), { encoding: 'utf8', env: alone });
    expect({ status: graph.status, said: graph.stderr }).toEqual({ status: 0, said: '' });

    // It loads where LibTorch's CUDA libraries are all there, and otherwise says which one is not.
    const code =
      "import { inspect } from './dist/runtime/native/loader.js'; const { loaded, error } = inspect(); console.log(loaded ? 'loaded' : error);";
    const child = spawnSync(process.execPath, ['--input-type=module', '-e', code], {
      cwd: root,
      encoding: 'utf8',
      env: { ...process.env, EAM_TORCH_BUILD_DIR: directory, EAM_TORCH_LIBTORCH: libtorch.directory },
    });
    expect(child.status).toBe(0);
    expect(child.stdout).toMatch(/^loaded$|lib\w+\.so[.\d]*: cannot open shared object file/m);
  });
});
