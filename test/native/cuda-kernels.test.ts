// What is checked of the CUDA kernels' machine code, on any machine; with nvcc, the code itself.
import { spawnSync } from 'node:child_process';
import { fileURLToPath } from 'node:url';

import { describe, expect, it } from 'vitest';

import { kernels, problemsOf, readResources, readVectors } from '../../benchmarks/cuda-kernels.mjs';
import { findExecutable } from '../../lib/jobs/build/tools.js';

const mangled = (kernel: string) => {
  const [, name, parameters] = /^(\w+)(?:<(\w+)>)?$/.exec(kernel)!;
  const scope = '_ZN3eam7kernels4cuda41_GLOBAL__N__c5afc8bf_9_affine_cu_b70c6bac';
  return `${scope}${name!.length}${name}${parameters ? `I${parameters}EE` : ''}EvPv`;
};
const source = 'optimizer.cu';
const ptxas = (spilled = 0) =>
  kernels[source]!.map(
    (kernel) => `ptxas info    : Compiling entry function '${mangled(kernel)}' for 'sm_90'
ptxas info    : Function properties for ${mangled(kernel)}
    0 bytes stack frame, ${spilled} bytes spill stores, ${spilled} bytes spill loads
ptxas info    : Used 40 registers, used 1 barriers, 64 bytes smem
`,
  ).join('');
const sass = (load = 'LD.E.128', store = 'ST.E.128') =>
  kernels[source]!.map(
    (kernel) => `\t\tFunction : ${mangled(kernel)}
        /*0070*/                   ${`${load} R4, desc[UR4][R2.64] ;\n`.repeat(4)}
        /*0080*/                   ${`${store} desc[UR4][R2.64], R4 ;\n`.repeat(3)}
`,
  ).join('');
const problems = (resources: string, code?: string) =>
  problemsOf(source, readResources(resources), code === undefined ? undefined : readVectors(code));

describe('the check of the CUDA kernels', () => {
  it('passes sound output of the compiler, with cuobjdump and without', () => {
    expect(problems(ptxas(), sass())).toEqual([]);
    expect(problems(ptxas())).toEqual([]);
  });

  it('fails where the format of ptxas or cuobjdump is another: no kernel was looked at', () => {
    const reworded = problems(ptxas().replaceAll('bytes spill stores', 'bytes of spill stores'));
    expect(reworded).toHaveLength(4);
    expect(reworded[0]).toMatch(/^adamw_kernel is not in what ptxas printed/);
    expect(problems(ptxas(), sass().replaceAll('Function :', 'Kernel:'))).toEqual(
      kernels[source]!.map((kernel) => `${kernel} is not in what cuobjdump printed`),
    );
  });

  it('fails for a spill, for stores that were taken apart, and for a kernel or a source that it does not know', () => {
    expect(problems(ptxas(4))).toContain('ema_kernel spills 4 and loads 4 bytes');
    expect(problems(ptxas(), sass('LDG.E.128', 'STG.E'))).toEqual([
      'adamw_kernel has 4 loads and 0 stores of 16 bytes, expected at least 4 and 3',
      'ema_kernel has 4 loads and 0 stores of 16 bytes, expected at least 2 and 1',
    ]);
    expect(problems(ptxas().replaceAll('10ema_kernel', '11mean_kernel')).join()).toMatch(
      /ema_kernel is not in what.*mean_kernel is not in the list/,
    );
    expect(problemsOf('new.cu', new Map(), undefined)).toEqual([
      'new.cu is not in the list of kernels (benchmarks/cuda-kernels.mjs)',
    ]);
  });

  it('passes the kernels that there are', (context) => {
    if (!findExecutable(['nvcc'])) context.skip('nvcc is not on PATH, so the kernels cannot be compiled here');
    const run = spawnSync(
      process.execPath,
      [fileURLToPath(new URL('../../benchmarks/cuda-resources.mjs', import.meta.url)), '90'],
      { encoding: 'utf8' },
    );
    expect({ status: run.status, said: run.stderr.replace(/^cuobjdump is not on PATH.*\n/, '') }).toEqual({
      status: 0,
      said: '',
    });
    expect(run.stdout.trim().split('\n')).toHaveLength(1 + Object.values(kernels).flat().length);
  });
});
