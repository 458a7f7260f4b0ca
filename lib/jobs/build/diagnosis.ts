// What was found and chosen on this machine, to paste into a bug report, and what to do where something is wrong.

import { spawnSync } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { availableParallelism, cpus, release, totalmem, type } from 'node:os';

import { libtorchCandidates } from '../../runtime/native/libtorch.js';
import type { ChosenDevice } from '../../runtime/device.js';
import type { Inspection } from '../../runtime/native/loader.js';
import { packageVersion } from '../../runtime/package.js';
import { findExecutable, inspectTools, missingToolsMessage, type Tool } from './tools.js';

/** Everything that `eam doctor --json` prints. */
export interface Diagnosis {
  usable: boolean;
  package: string;
  node: string;
  npm: string;
  os: string;
  /** Absent where the system's C library is another one. */
  glibc?: string;
  cpu: { model: string; architecture: string; threads: number; simd: string[] };
  memoryGiB: number;
  gpus: string[];
  tools: Tool[];
  native: Inspection;
  /** What the loaded addon says of itself. */
  addon?: { libtorch: string; variant: string; threads: number; cudaDevices: number; auto: ChosenDevice };
  environment: Record<string, string>;
  advice: string[];
}

/** Instruction sets that LibTorch's and our kernels have code for. */
const simdOfInterest =
  /^(sse4_2|avx|avx2|fma|f16c|avx512(f|bw|vl|dq|_bf16|_fp16|_vnni)|amx_(bf16|int8|tile)|asimd|bf16|sve2?)$/;
const variablesOfInterest =
  /^(EAM_TORCH_|LIBTORCH$|VIRTUAL_ENV$|CONDA_PREFIX$|OMP_|MKL_|CUDA_VISIBLE_DEVICES$|LD_LIBRARY_PATH$|LD_PRELOAD$)/;

function output(command: string, args: string[]): string | undefined {
  const path = findExecutable([command]);
  const result = path
    ? spawnSync(path, args, { encoding: 'utf8', timeout: 30_000, stdio: ['ignore', 'pipe', 'ignore'] })
    : undefined;
  return result?.status === 0 ? result.stdout.trim() : undefined;
}

function textOf(path: string): string {
  try {
    return readFileSync(path, 'utf8');
  } catch {
    return '';
  }
}

function operatingSystem(): string {
  const distribution = /^PRETTY_NAME="?([^"\n]*)/m.exec(textOf('/etc/os-release'))?.[1];
  return [distribution, `${type()} ${release()}`].filter(Boolean).join(', ');
}

function glibc(): string | undefined {
  const { header } = process.report.getReport() as { header?: { glibcVersionRuntime?: string } };
  return header?.glibcVersionRuntime;
}

function simd(): string[] {
  const flags =
    /^(?:flags|Features)\s*:\s*(.*)$/m.exec(textOf('/proc/cpuinfo'))?.[1] ??
    output('sysctl', ['-n', 'machdep.cpu.features']) ??
    '';
  return flags
    .toLowerCase()
    .replaceAll('.', '_')
    .split(/\s+/)
    .filter((flag) => simdOfInterest.test(flag));
}

/** Loads the addon in a process of its own: a binary that ends its process does not end this one. */
function probe(): { native: Inspection; addon?: NonNullable<Diagnosis['addon']> } {
  const module = (path: string) => JSON.stringify(new URL(path, import.meta.url).href);
  const code = `
    import { inspect } from ${module('../../runtime/native/loader.js')};
    import { binding } from ${module('../../runtime/native/index.js')};
    import { chooseDevice } from ${module('../../runtime/device.js')};
    const native = inspect();
    let addon;
    if (native.loaded) {
      const b = binding();
      const [threads, cudaDevices] = [await b.threads(), b.cudaDeviceCount()];
      addon = { libtorch: b.libtorchVersion, variant: b.variant, threads, cudaDevices, auto: chooseDevice('auto') };
    }
    process.stdout.write(JSON.stringify({ native, addon }));`;
  const child = spawnSync(process.execPath, ['--input-type=module', '-e', code], {
    encoding: 'utf8',
    timeout: 120_000,
  });
  try {
    const found = JSON.parse(child.stdout) as ReturnType<typeof probe>;
    // Without an addon there was nothing to look for a LibTorch for.
    return found.native.candidates.length > 0
      ? found
      : { native: { ...found.native, candidates: [...libtorchCandidates()] } };
  } catch {
    const how = child.signal ? `was ended by ${child.signal}` : `ended with exit code ${child.status}`;
    const error = [`Loading the native core failed: its process ${how}.`, child.stderr.trim()]
      .filter(Boolean)
      .join('\n');
    return { native: { addons: [], candidates: [...libtorchCandidates()], error } };
  }
}

function advise(native: Inspection, tools: Tool[], gpus: string[]): string[] {
  const advice: string[] = [];
  if (native.error) {
    advice.push(native.error);
    const missing = missingToolsMessage(tools.filter((tool) => tool.name !== 'nvcc'));
    if (missing) advice.push(missing);
  } else if (gpus.length > 0 && native.loaded?.addon.variant === 'cpu') {
    advice.push(
      'There is an NVIDIA GPU, and the addon in use is the CPU one: `npx eam build --variant cuda` builds the other.',
    );
  }
  return advice;
}

/** Looks at the machine, the tools, every LibTorch and the addon. Never throws for what it finds. */
export function diagnose(): Diagnosis {
  const { native, addon } = probe();
  const tools = inspectTools(['compiler', 'cmake', 'make', 'python', 'nvcc']);
  const gpus =
    output('nvidia-smi', ['--query-gpu=name,memory.total,driver_version', '--format=csv,noheader'])?.split('\n') ?? [];
  const c = glibc();
  return {
    usable: native.loaded !== undefined,
    package: packageVersion,
    node: process.versions.node,
    npm: output('npm', ['--version']) ?? 'not found',
    os: operatingSystem(),
    ...(c ? { glibc: c } : {}),
    cpu: {
      model: cpus()[0]?.model.trim() ?? 'unknown',
      architecture: process.arch,
      threads: availableParallelism(),
      simd: simd(),
    },
    memoryGiB: Math.round(totalmem() / 2 ** 30),
    gpus,
    tools,
    native,
    ...(addon ? { addon } : {}),
    environment: Object.fromEntries(
      Object.entries(process.env).filter(
        (entry): entry is [string, string] => entry[1] !== undefined && variablesOfInterest.test(entry[0]),
      ),
    ),
    advice: advise(native, tools, gpus),
  };
}
