// Registers, stack and spills of every CUDA kernel, from ptxas; needs nvcc and no GPU. Exits with 1 where one spills that
// must not.
//   node benchmarks/cuda-resources.mjs [ARCHITECTURE …, default 80 90 100 120]

import { spawnSync } from 'node:child_process';
import { readdirSync } from 'node:fs';
import { devNull } from 'node:os';
import { join } from 'node:path';

const native = join(import.meta.dirname, '..', 'native');
const architectures = process.argv.length > 2 ? process.argv.slice(2) : ['80', '90', '100', '120'];
const sources = readdirSync(join(native, 'kernels')).filter((name) => name.endsWith('.cu'));

// Bytes a thread, stored and loaded. Kernels of one dtype and few tensors, the common ones, spill nothing. Those that take any mix of
// dtypes (their number of terms is −1, "n1" in the mangled name) spill up to three registers on some architectures, where ptxas
// prefers more threads.
const mostSpilled = (parameters) => (parameters.endsWith('n1') ? 24 : 0);
let spilling = 0;
console.log('architecture,kernel,registers,stack,spill_stores,spill_loads');
for (const architecture of architectures) {
  for (const source of sources) {
    const nvcc = spawnSync('nvcc', ['-std=c++17', '-O3', '-Xptxas', '-v', `-gencode=arch=compute_${architecture},code=sm_${architecture}`,
      '-I', native, '-cubin', '-o', devNull, join(native, 'kernels', source)], { encoding: 'utf8' });
    if (nvcc.status !== 0) {
      console.error(nvcc.error?.message ?? nvcc.stderr);
      process.exit(1);
    }
    const entry = /Compiling entry function '(\w+)'[\s\S]*?(\d+) bytes stack frame, (\d+) bytes spill stores, (\d+) bytes spill loads[\s\S]*?Used (\d+) registers/g;
    for (const [, mangled, stack, stores, loads, registers] of nvcc.stderr.matchAll(entry)) {
      const [, name, parameters = ''] = /\d([a-z_]+_kernel|sum_rows)(?:I(\w+?)EE)?/.exec(mangled) ?? [, mangled];
      spilling += Number(stores) + Number(loads) > mostSpilled(parameters);
      console.log([`sm_${architecture}`, parameters ? `${name}<${parameters}>` : name, registers, stack, stores, loads].join(','));
    }
  }
}
process.exitCode = spilling ? 1 : 0;
