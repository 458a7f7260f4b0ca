// Fetching a LibTorch with the pip of this machine, from indexes of tiny wheels.
import { chmodSync, existsSync, mkdirSync, mkdtempSync, readdirSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { delimiter, join } from 'node:path';

import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';

import { fetchIntoCache } from '../../lib/jobs/build/fetch-into-cache.js';
import { ConfigError } from '../../lib/errors.js';
import { cudaFor, driverVersion } from '../../lib/jobs/build/cuda-driver.js';
import { fetchLibTorch, type FetchOptions, missingLibraries } from '../../lib/jobs/build/fetch-libtorch.js';
import { cudaVersion, pipAttempts, versionToFetch } from '../../lib/jobs/build/pip-request.js';
import { inspectTools } from '../../lib/jobs/build/tools.js';
import { findLibTorch } from '../../lib/runtime/native/libtorch.js';
import { canMount, SmallDisk } from '../helpers/small-disk.js';
import { WheelIndex, writeWheels } from '../helpers/wheels.js';
import { cudaWheels } from '../helpers/cuda-wheels.js';

const [python] = inspectTools(['python']);
const pip = python!.problem === undefined ? python!.path! : undefined;

let folder: string;
let wheels: string;
let cache: string;
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'eam-fetch-'));
  wheels = join(folder, 'wheels');
  cache = join(folder, 'cache');
  mkdirSync(wheels);
  vi.stubEnv('EAM_TORCH_LIBTORCH_VERSION', '');
  vi.stubEnv('PIP_CONFIG_FILE', '/dev/null');
  vi.stubEnv('PIP_INDEX_URL', '');
  vi.stubEnv('PIP_EXTRA_INDEX_URL', '');
  vi.stubEnv('PIP_NO_INDEX', '1');
  vi.stubEnv('PIP_FIND_LINKS', wheels);
});
afterEach(() => {
  vi.unstubAllEnvs();
  rmSync(folder, { recursive: true, force: true });
});

function script(directory: string, name: string, body: string): string {
  mkdirSync(directory, { recursive: true });
  const path = join(directory, name);
  writeFileSync(path, `#!/bin/sh\n${body}\n`);
  chmodSync(path, 0o755);
  return path;
}

const lines: string[] = [];
beforeEach(() => {
  lines.length = 0;
});

/** As on a machine with room and a driver for CUDA 13. */
const fetch = (options: Partial<FetchOptions> = {}) =>
  fetchLibTorch({
    variant: 'cuda',
    cache,
    python: pip!,
    report: (line) => void lines.push(line),
    driver: { version: '580.159.04' },
    freeBytes: () => 1e12,
    ...options,
  });

describe('the request to pip', () => {
  it('asks for a CPU build by a version that no other index can have', () => {
    expect(pipAttempts('cpu', '2.13.0', { platform: 'linux' })[0]![0]).toBe('torch==2.13.0+cpu');
    expect(pipAttempts('cpu', '2.13.0', { platform: 'linux' }).at(-1)).toEqual(['torch==2.13.0']);
    expect(pipAttempts('cpu', '2.13.0', { platform: 'darwin' })[0]).toEqual(['torch==2.13.0']);
  });

  it('asks for the CUDA build that the driver serves', () => {
    expect(pipAttempts('cuda', '2.14.1', { platform: 'linux' })[0]).toEqual(['torch==2.14.1']);
    const [first] = pipAttempts('cuda', '2.14.1', { platform: 'linux', cuda: 12 });
    expect(first).toEqual(['torch==2.14.1+cu126', '--extra-index-url=https://download.pytorch.org/whl/cu126']);
  });

  it('takes the version from the environment, and only a supported one', () => {
    vi.stubEnv('EAM_TORCH_LIBTORCH_VERSION', '2.12.1');
    expect(versionToFetch('cpu')).toBe('2.12.1');
    vi.stubEnv('EAM_TORCH_LIBTORCH_VERSION', '2.5.0');
    expect(() => versionToFetch('cpu')).toThrow(ConfigError);
    expect(() => versionToFetch('cpu')).toThrow(
      /EAM_TORCH_LIBTORCH_VERSION: expected a version from 2\.11\.0 to 2\.14\.x, .*, got 2\.5\.0/,
    );
  });

  it('tells a CUDA build by its version.py', () => {
    expect(cudaVersion("__version__ = '2.14.1+cu130'\ncuda: Optional[str] = '13.0'\n")).toBe('13.0');
    expect(cudaVersion("__version__ = '2.13.0+cpu'\ncuda: Optional[str] = None\n")).toBeUndefined();
  });
});

describe('the NVIDIA driver', () => {
  it.each([
    { driver: undefined, cuda: 13 },
    { driver: '590.10', cuda: 13 },
    { driver: '580.65.06', cuda: 13 },
    { driver: '580.64', cuda: 12 },
    { driver: '525.60.13', cuda: 12 },
  ])('serves with version $driver CUDA $cuda', ({ driver, cuda }) => expect(cudaFor(driver)).toBe(cuda));

  it('is refused where it is too old, with the version that is needed', () => {
    expect(() => cudaFor('470.82.01')).toThrow(
      /driver: expected 525\.60 or newer, which serves CUDA 12, got 470\.82\.01.*580\.65 or newer serves CUDA 13/,
    );
  });

  it('is asked of nvidia-smi', () => {
    vi.stubEnv('PATH', join(folder, 'bin'));
    expect(driverVersion()).toBeUndefined();
    script(join(folder, 'bin'), 'nvidia-smi', 'echo 580.159.04; echo 580.159.04');
    expect(driverVersion()).toBe('580.159.04');
    script(join(folder, 'bin'), 'nvidia-smi', 'echo "NVIDIA-SMI has failed"; exit 9');
    expect(driverVersion()).toBeUndefined();
  });
});

describe.skipIf(pip === undefined)('fetching LibTorch', () => {
  it('takes a CUDA build with all the libraries that it needs, and drops the rest', async () => {
    writeWheels(pip!, wheels, cudaWheels(folder));
    const torch = await fetch();
    expect(torch).toBe(join(cache, 'libtorch-2.14.1-cuda', 'torch'));
    expect(missingLibraries(torch, 'cuda')).toEqual([]);
    for (const kept of [
      'include/ATen/ATen.h',
      '../torch-2.14.1.dist-info/licenses/LICENSE',
      '../nvidia/cu13/lib/libnccl.so.2',
    ])
      expect(existsSync(join(torch, kept)), kept).toBe(true);
    for (const gone of ['nn', 'lib/libtorch_python.so', '../torchgen'])
      expect(existsSync(join(torch, gone)), gone).toBe(false);
    expect(readdirSync(cache)).toEqual(['libtorch-2.14.1-cuda']);
    expect(lines[0]).toBe('NVIDIA driver: 580.159.04, which serves CUDA 13');
    expect(lines[1]).toMatch(
      /^LibTorch 2\.14\.1 \(CUDA 13\): about 2\.8 GB to fetch with pip, 4\.2 GB unpacked, .*; 1000\.0 GB are free/,
    );
    expect(lines.filter((line) => line.startsWith('  ')).map((line) => /\S+(?=:)/.exec(line)![0])).toEqual([
      'torch',
      'cuda-toolkit',
      'nvidia-nccl-cu13',
      'nvidia-cuda-runtime',
      'nvidia-cublas',
    ]);
    expect(lines.at(-1)).toMatch(/fetched, [\d.]+ MB, [\d.]+ s$/);
    const said = lines.length;
    expect(await fetch({ python: '/no/python' })).toBe(torch); // it is there
    expect(lines).toHaveLength(said);
  });

  it('takes from a CUDA build for the CPU what its CPU half needs', async () => {
    vi.stubEnv('EAM_TORCH_LIBTORCH_VERSION', '2.14.1');
    writeWheels(pip!, wheels, cudaWheels(folder));
    const torch = await fetch({ variant: 'cpu' });
    expect(readdirSync(join(torch, '..', 'nvidia', 'cu13', 'lib'))).toEqual(['libcudart.so.13']);
  });

  it('keeps whole wheels after a cut, says so, and fetches the one that was cut from its beginning', async () => {
    writeWheels(pip!, wheels, cudaWheels(folder));
    const index = new WheelIndex(wheels);
    try {
      vi.stubEnv('PIP_FIND_LINKS', '');
      vi.stubEnv('PIP_NO_INDEX', '');
      vi.stubEnv('PIP_INDEX_URL', await index.listen());
      vi.stubEnv('PIP_RESUME_RETRIES', '0');
      const cut = 'nvidia_cublas-13.1.1.3-py3-none-any.whl';
      index.cut.add(cut);
      await expect(fetch()).rejects.toThrow(
        /python3 failed[\s\S]*MB of whole wheels are kept in .*: .* with the wheel that is missing, from its beginning/,
      );
      expect(readdirSync(cache)).toEqual(['.fetch-2.14.1-cuda']);
      expect(index.asked.at(-1)).toBe(cut);
      index.cut.clear();
      index.asked.length = 0;
      await fetch();
      expect(index.asked).toEqual([cut]);
      expect(lines.filter((line) => line.endsWith(', from the last try'))).toHaveLength(4);
      expect(readdirSync(cache)).toEqual(['libtorch-2.14.1-cuda']);
    } finally {
      index.close();
    }
  });

  it('names the package that is not to be had', async () => {
    writeWheels(
      pip!,
      wheels,
      cudaWheels(folder).filter(({ name }) => name !== 'nvidia-nccl-cu13'),
    );
    await expect(fetch()).rejects.toThrow(/No matching distribution found for nvidia-nccl-cu13==2\.30\.7/);
    expect(existsSync(join(cache, 'libtorch-2.14.1-cuda'))).toBe(false);
  });

  it('says how to get one by hand where there is no torch, and leaves nothing behind', async () => {
    const python = script(folder, 'python3', 'echo "ERROR: No matching distribution found for torch"; exit 1');
    await expect(fetch({ variant: 'cpu', python })).rejects.toThrow(
      /EAM_TORCH_LIBTORCH[\s\S]*No matching distribution/,
    );
    expect(readdirSync(cache)).toEqual([]);
  });

  it('says that the driver is the limit where it serves CUDA 12 alone', async () => {
    const python = script(folder, 'python3', 'exit 1');
    await expect(fetch({ python, driver: { version: '550.54' } })).rejects.toThrow(
      /torch 2\.14\.1\. This machine's driver serves CUDA 12 only; 580\.65 or newer serves CUDA 13/,
    );
  });

  it.each([
    { what: 'a CPU build', version: 'cuda: Optional[str] = None', reason: 'is a CPU build' },
    { what: "another CUDA's", version: "cuda: Optional[str] = '12.8'", reason: 'is of CUDA 12.8' },
  ])('refuses $what where a CUDA 13 build is asked for', async ({ version, reason }) => {
    writeWheels(pip!, wheels, [{ name: 'torch', version: '2.14.1', files: { 'torch/version.py': version } }]);
    await expect(fetch()).rejects.toThrow(reason);
    expect(readdirSync(cache)).toEqual([]);
  });

  it('refuses a build that lacks a library, and completes one that lacked it', async () => {
    const whole = cudaWheels(folder);
    const partial = whole.map((wheel) =>
      wheel.name === 'cuda-toolkit' ? { ...wheel, requires: [wheel.requires![0]!] } : wheel,
    );
    writeWheels(pip!, wheels, partial);
    await expect(fetch()).rejects.toThrow('LibTorch 2.14.1 (CUDA 13): what pip fetched lacks libcublas.so.13');
    expect(readdirSync(cache)).toEqual([]);
    writeWheels(pip!, wheels, whole);
    const torch = await fetch();
    rmSync(join(torch, '..', 'nvidia', 'cu13', 'lib', 'libcublas.so.13'));
    expect(missingLibraries(await fetch(), 'cuda')).toEqual([]);
  });

  it('fetches a wheel again that does not unpack', async () => {
    writeWheels(pip!, wheels, cudaWheels(folder));
    const broken = join(cache, '.fetch-2.14.1-cuda', 'nvidia-cublas', 'nvidia_cublas-13.1.1.3-py3-none-any.whl');
    mkdirSync(join(broken, '..'), { recursive: true });
    writeFileSync(broken, 'not a wheel');
    await expect(fetch()).rejects.toThrow(/nvidia_cublas/);
    expect(existsSync(broken)).toBe(false);
    expect(missingLibraries(await fetch(), 'cuda')).toEqual([]);
  });

  it('asks for room before it fetches anything', async () => {
    const small = fetch({ freeBytes: () => 3e9, python: '/no/python' });
    await expect(small).rejects.toThrow(/: expected 7\.0 GB free in .*, got 3\.0 GB\. .*XDG_CACHE_HOME/);
  });

  it.skipIf(!canMount)('says that the disk is full, and goes on once it is not', async () => {
    const disk = new SmallDisk(2 ** 22);
    try {
      const large = {
        name: 'nvidia-nccl-cu13',
        version: '2.30.7',
        files: { 'nvidia/cu13/lib/libnccl.so.2': 'n'.repeat(2 ** 21) },
      };
      writeWheels(
        pip!,
        wheels,
        cudaWheels(folder).map((wheel) => (wheel.name === large.name ? large : wheel)),
      );
      await expect(fetch({ cache: disk.path })).rejects.toThrow(/The disk of .* is full/);
      disk.resize(2 ** 26);
      expect(missingLibraries(await fetch({ cache: disk.path }), 'cuda')).toEqual([]);
      expect(lines.some((line) => line.endsWith(', from the last try'))).toBe(true);
    } finally {
      disk.unmount();
    }
  });
});

describe('eam libtorch', () => {
  it('says what to install where python3 has no pip', async () => {
    script(
      join(folder, 'bin'),
      'python3',
      'case "$1" in --version) echo Python 3.13.5;; *) echo "No module named pip" >&2; exit 1;; esac',
    );
    script(join(folder, 'bin'), 'apt-get', 'exit 0');
    vi.stubEnv('PATH', [join(folder, 'bin'), '/usr/bin', '/bin'].join(delimiter));
    const failed = fetchIntoCache('cuda', () => {});
    await expect(failed).rejects.toThrow(
      /has no pip \(No module named pip\)[\s\S]*apt-get install -y python3 python3-pip[\s\S]*EAM_TORCH_LIBTORCH/,
    );
  });
});

describe('the cache of LibTorch', () => {
  it('keeps the CPU build for the cpu variant where a newer CUDA build is in it too', () => {
    for (const [version, variant] of [
      ['2.13.0', 'cpu'],
      ['2.14.1', 'cuda'],
    ] as const) {
      const torch = join(folder, 'eam-torch', `libtorch-${version}-${variant}`, 'torch');
      for (const part of ['lib', 'include/ATen']) mkdirSync(join(torch, part), { recursive: true });
      writeFileSync(join(torch, 'version.py'), `__version__ = '${version}'\n`);
      for (const file of ['lib/libtorch_cpu.so', `lib/libtorch_${variant}.so`, 'include/ATen/ATen.h'])
        writeFileSync(join(torch, file), '');
    }
    for (const name of ['EAM_TORCH_LIBTORCH', 'LIBTORCH', 'VIRTUAL_ENV', 'CONDA_PREFIX']) vi.stubEnv(name, '');
    vi.stubEnv('XDG_CACHE_HOME', folder);
    vi.stubEnv('PATH', folder);
    expect(findLibTorch('cpu')?.version).toBe('2.13.0');
    expect(findLibTorch('cuda')?.version).toBe('2.14.1');
  });
});
