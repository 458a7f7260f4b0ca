// Registers, stack and spills of every CUDA kernel, from ptxas, and its loads and stores of 16 bytes, from cuobjdump;
// needs nvcc and no GPU. Exits with 1 where a kernel is missing, spills that must not, or takes its vectors apart. node
// benchmarks/cuda-resources.mjs [ARCHITECTURE …, default 80 90 100 120]

import { spawnSync } from 'node:child_process';
import { mkdtempSync, readdirSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

import { kernels, problemsOf, readResources, readVectors } from './cuda-kernels.mjs';

const native = join(import.meta.dirname, '..', 'native');
const architectures = process.argv.length > 2 ? process.argv.slice(2) : ['80', '90', '100', '120'];
const sources = new Set([
  ...Object.keys(kernels),
  ...readdirSync(join(native, 'kernels')).filter((name) => name.endsWith('.cu')),
]);
const folder = mkdtempSync(join(tmpdir(), 'eam-cubin-'));
process.once('exit', () => rmSync(folder, { recursive: true, force: true }));

function run(program, ...args) {
  const result = spawnSync(program, args, { encoding: 'utf8', maxBuffer: 2 ** 28 });
  if (result.error?.code === 'ENOENT' && program === 'cuobjdump') return undefined;
  if (result.status === 0) return result;
  console.error(result.error?.message ?? result.stderr);
  process.exit(1);
}

let problems = 0,
  unread = false;
console.log('architecture,kernel,registers,stack,spill_stores,spill_loads,vector_loads,vector_stores');
for (const architecture of architectures) {
  for (const source of sources) {
    const cubin = join(folder, `${source}.${architecture}.cubin`);
    const compiled = run(
      'nvcc',
      '-std=c++17',
      '-O3',
      '-Xptxas',
      '-v',
      `-gencode=arch=compute_${architecture},code=sm_${architecture}`,
      '-I',
      native,
      '-cubin',
      '-o',
      cubin,
      join(native, 'kernels', source),
    );
    const resources = readResources(compiled.stderr);
    const code = run('cuobjdump', '-sass', cubin);
    const vectors = code && readVectors(code.stdout);
    unread ||= !code;
    for (const [kernel, { registers, stack, spillStores, spillLoads }] of resources) {
      const { loads = '', stores = '' } = vectors?.get(kernel) ?? {};
      console.log([`sm_${architecture}`, kernel, registers, stack, spillStores, spillLoads, loads, stores].join(','));
    }
    for (const problem of problemsOf(source, resources, vectors)) {
      console.error(`sm_${architecture}: ${problem}`);
      ++problems;
    }
  }
}
if (unread) console.error('cuobjdump is not on PATH: whether loads and stores are of 16 bytes was not looked at');
process.exitCode = problems ? 1 : 0;
