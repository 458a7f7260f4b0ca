// Tiny wheels of a LibTorch for CUDA.
import { execFileSync } from 'node:child_process';
import { existsSync, mkdirSync } from 'node:fs';
import { join } from 'node:path';

import type { TinyWheel } from './wheels.js';

/** A shared library that needs those of these names, beside it or up the folders that its search path names. */
function library(directory: string, name: string, needed: readonly string[] = []): { from: string } {
  mkdirSync(directory, { recursive: true });
  for (const each of needed.filter((other) => !existsSync(join(directory, other)))) library(directory, each);
  const path = join(directory, name);
  const link = ['-Wl,-rpath,$ORIGIN:$ORIGIN/../../nvidia/cu13/lib', '-Wl,--no-as-needed', '-L', directory];
  const needs = needed.map((each) => `-l:${each}`);
  execFileSync('cc', ['-shared', `-Wl,-soname,${name}`, '-o', path, '-x', 'c', '/dev/null', ...link, ...needs]);
  return { from: path };
}

const linux = 'platform_system == "Linux"';

/** A torch of CUDA 13 whose libtorch_cuda needs libraries of two packages, one named by cuda-toolkit. */
export function cudaWheels(folder: string): TinyWheel[] {
  const directory = join(folder, 'libraries');
  const info = 'torch-2.14.1.dist-info/licenses/LICENSE';
  return [
    {
      name: 'torch',
      version: '2.14.1',
      files: {
        'torch/version.py': "__version__ = '2.14.1+cu130'\ncuda: Optional[str] = '13.0'\n",
        'torch/lib/libtorch_cpu.so': library(directory, 'libtorch_cpu.so', ['libcudart.so.13']),
        'torch/lib/libtorch_cuda.so': library(directory, 'libtorch_cuda.so', [
          'libtorch_cpu.so',
          'libcublas.so.13',
          'libnccl.so.2',
        ]),
        'torch/lib/libtorch_python.so': 'not wanted',
        'torch/include/ATen/ATen.h': '',
        'torch/nn/module.py': '',
        'torchgen/model.py': '',
        [info]: 'a licence',
      },
      requires: [
        'sympy>=1.13.3',
        `cuda-toolkit[one,two]==13.0.3; ${linux}`,
        `nvidia-nccl-cu13==2.30.7; ${linux}`,
        'nvidia-windows==1; platform_system == "Windows"',
        `triton~=3.8.0; ${linux}`,
      ],
    },
    {
      name: 'cuda-toolkit',
      version: '13.0.3',
      requires: [
        "nvidia-cuda-runtime==13.0.96.*; extra == 'one'",
        "nvidia-cublas==13.1.1.*; (sys_platform == 'linux' or sys_platform == 'win32') and extra == 'two'",
        "nvidia-unwanted==1; extra == 'three'",
      ],
    },
    {
      name: 'nvidia-cuda-runtime',
      version: '13.0.96',
      files: { 'nvidia/cu13/lib/libcudart.so.13': library(directory, 'libcudart.so.13') },
    },
    {
      name: 'nvidia-cublas',
      version: '13.1.1.3',
      files: { 'nvidia/cu13/lib/libcublas.so.13': library(directory, 'libcublas.so.13') },
    },
    {
      name: 'nvidia-nccl-cu13',
      version: '2.30.7',
      files: { 'nvidia/cu13/lib/libnccl.so.2': library(directory, 'libnccl.so.2') },
    },
  ];
}
