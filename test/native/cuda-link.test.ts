// The CUDA variant compiles with nvcc and links against a CUDA LibTorch on a machine that has no GPU.

import { execFileSync, spawnSync } from 'node:child_process';
import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { describe, expect, it } from 'vitest';

import { cudaVariant, whyNotCuda } from '../helpers/cuda-variant.js';
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

describe('the CUDA variant', () => {
  it('compiles, links and carries every kernel', { timeout: 30 * minutes }, async (context) => {
    const unwanted = whyNotCuda();
    if (unwanted !== undefined) return context.skip(unwanted);
    const variant = await cudaVariant();
    if ('reason' in variant) return context.skip(variant.reason);
    const { directory, libtorch } = variant;

    const addon = readFileSync(join(directory, 'eam_torch.node'));
    const kernels = kernelNames();
    expect(kernels.length).toBeGreaterThan(0);
    expect(kernels.filter((name) => !addon.includes(name))).toEqual([]);
    expect(addon.includes('.nv_fatbin')).toBe(true);
    expect(JSON.parse(readFileSync(join(directory, 'eam_torch.json'), 'utf8'))).toMatchObject({ variant: 'cuda' });

    // A shared object links with symbols missing.
    const libraries = ['c10', 'torch_cpu', 'c10_cuda', 'torch_cuda'].map((name) =>
      join(libtorch, 'lib', `lib${name}.so`),
    );
    const defined = new Set(libraries.flatMap((library) => symbols(library, '--defined-only')));
    const wanted = symbols(join(directory, 'eam_torch.node'), '--undefined-only').filter((name) =>
      /^_Z.*(3eam|2at|3c10|5torch)/.test(name),
    );
    expect(wanted.length).toBeGreaterThan(100);
    expect(wanted.filter((name) => !defined.has(name))).toEqual([]);

    // What compares CUDA with the CPU where there is a device, and says so where there is none.
    const check = readFileSync(await buildCheck(directory, 'check_ops'));
    expect(kernels.filter((name) => !check.includes(name))).toEqual([]);
    for (const name of ['check_cuda_sizes', 'check_cuda_graph', 'bench_cuda'])
      expect(readFileSync(await buildCheck(directory, name)).includes('affine_kernel'), name).toBe(true);
    // Each finds LibTorch by itself, and says that there is no device (or, on a machine with one, checks it).
    const alone = { ...process.env };
    delete alone['LD_LIBRARY_PATH'];
    const graph = spawnSync(join(directory, 'check_cuda_graph'), { encoding: 'utf8', env: alone });
    expect({ status: graph.status, said: graph.stderr }).toEqual({ status: 0, said: '' });
  });
});
