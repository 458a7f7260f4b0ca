import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { chmodSync, existsSync, mkdirSync, mkdtempSync, readdirSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';

import { cudaVersion, fetchLibTorch, pipAttempts, versionToFetch } from '../../lib/jobs/build/fetch-libtorch.js';
import { withLock } from '../../lib/jobs/build/lock.js';
import { BuildError, runCommand } from '../../lib/jobs/build/run-command.js';
import { findExecutable, inspectTools, missingToolsMessage } from '../../lib/jobs/build/tools.js';
import { ConfigError } from '../../lib/errors.js';
import { findLibTorch } from '../../lib/runtime/native/libtorch.js';

let folder: string;
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'eam-build-'));
});
afterEach(() => {
  vi.unstubAllEnvs();
  rmSync(folder, { recursive: true, force: true });
});

function script(name: string, body: string): string {
  const path = join(folder, name);
  writeFileSync(path, `#!/bin/sh\n${body}\n`);
  chmodSync(path, 0o755);
  return path;
}

describe('the tools of the native build', () => {
  it('names every missing tool at once, with the command that installs it', () => {
    script('apt-get', 'exit 0');
    const message = missingToolsMessage(inspectTools(['compiler', 'cmake', 'make', 'python'], folder), folder)!;
    for (const name of ['g++', 'cmake', 'ninja-build', 'python3-pip']) {
      expect(message).toMatch(new RegExp(`apt-get install -y .*${name.replaceAll('+', '\\+')}`));
    }
    expect(message).toMatch(/apt-get install -y g\+\+ cmake ninja-build python3 python3-pip/);
    expect(message).not.toContain('dnf');
  });

  it('gives the commands of every package manager it knows where it finds none', () => {
    const message = missingToolsMessage(inspectTools(['cmake'], folder), folder)!;
    expect(message).toContain('apt-get install -y cmake');
    expect(message).toContain('dnf install -y cmake');
    expect(message).toContain('brew install cmake');
  });

  it('rejects a cmake that is too old and a compiler without C++20', () => {
    script('cmake', 'echo cmake version 3.16.3');
    script(
      'g++',
      'case "$1" in --version) echo g++ 7.5.0;; *) echo "unrecognized option -std=c++20" >&2; exit 1;; esac',
    );
    const message = missingToolsMessage(inspectTools(['compiler', 'cmake'], folder), folder)!;
    expect(message).toContain('is version 3.16.3');
    expect(message).toContain('cannot compile C++20: unrecognized option -std=c++20');
  });

  it('says nothing where all is there', () => {
    expect(missingToolsMessage(inspectTools(['compiler', 'cmake', 'make']))).toBeUndefined();
  });

  it('finds only what can be executed', () => {
    writeFileSync(join(folder, 'cmake'), 'not executable', { mode: 0o644 });
    expect(findExecutable(['cmake'], folder)).toBeUndefined();
    expect(findExecutable(['nothing'], folder)).toBeUndefined();
  });
});

describe('fetching LibTorch', () => {
  it('asks for a CPU build by a version that no other index can have', () => {
    expect(pipAttempts('cpu', '2.13.0', 'linux')[0]![0]).toBe('torch==2.13.0+cpu');
    expect(pipAttempts('cpu', '2.13.0', 'linux').at(-1)).toEqual(['torch==2.13.0']);
    expect(pipAttempts('cpu', '2.13.0', 'darwin')[0]).toEqual(['torch==2.13.0']);
    expect(pipAttempts('cuda', '2.14.1', 'linux')[0]).toEqual(['torch==2.14.1']);
  });

  it('takes the version from the environment, and only a supported one', () => {
    vi.stubEnv('EAM_TORCH_LIBTORCH_VERSION', '2.12.1');
    expect(versionToFetch('cpu')).toBe('2.12.1');
    vi.stubEnv('EAM_TORCH_LIBTORCH_VERSION', '2.5.0');
    expect(() => versionToFetch('cpu')).toThrow(ConfigError);
    expect(() => versionToFetch('cpu')).toThrow(/EAM_TORCH_LIBTORCH_VERSION is '2\.5\.0'.*2\.11\.0 to 2\.14/);
  });

  it('tells a CUDA build by its version.py', () => {
    writeFileSync(join(folder, 'version.py'), "__version__ = '2.14.1+cu130'\ncuda: Optional[str] = '13.0'\n");
    expect(cudaVersion(folder)).toBe('13.0');
    writeFileSync(join(folder, 'version.py'), "__version__ = '2.13.0+cpu'\ncuda: Optional[str] = None\n");
    expect(cudaVersion(folder)).toBeUndefined();
  });

  it('installs through pip, keeps headers, libraries and licences, and leaves nothing aside', async () => {
    const python = script(
      'python3',
      `
while [ "$1" != "--target" ]; do shift; done
mkdir -p "$2/torch/lib" "$2/torch/include/ATen" "$2/torch/nn" "$2/torch-2.13.0.dist-info/licenses" "$2/bin"
echo "cuda: Optional[str] = None" > "$2/torch/version.py"
touch "$2/torch/lib/libtorch_cpu.so" "$2/torch/lib/libtorch_python.so" "$2/torch/include/ATen/ATen.h" "$2/torch/nn/x.py"`,
    );
    const lines: string[] = [];
    const torch = await fetchLibTorch({
      variant: 'cpu',
      cache: join(folder, 'cache'),
      python,
      report: (line) => lines.push(line),
    });
    expect(existsSync(join(torch, 'lib', 'libtorch_cpu.so'))).toBe(true);
    expect(existsSync(join(torch, 'include', 'ATen', 'ATen.h'))).toBe(true);
    expect(existsSync(join(torch, '..', 'torch-2.13.0.dist-info', 'licenses'))).toBe(true);
    for (const gone of ['nn', 'lib/libtorch_python.so', '../bin']) expect(existsSync(join(torch, gone))).toBe(false);
    expect(readdirSync(join(folder, 'cache'))).toEqual(['libtorch-2.13.0-cpu']);
    expect(lines.at(-1)).toMatch(/fetched, \d+ MB, [\d.]+ s/);
  });

  it('leaves no half of one behind and shows what pip said where pip fails', async () => {
    const python = script('python3', 'echo "ERROR: No matching distribution found for torch"; exit 1');
    const cache = join(folder, 'cache');
    const fetching = fetchLibTorch({ variant: 'cpu', cache, python, report: () => {} });
    await expect(fetching).rejects.toThrow(/EAM_TORCH_LIBTORCH[^]*No matching distribution/);
    expect(readdirSync(cache)).toEqual([]);
  });

  it('keeps the CPU build for the cpu variant where a newer CUDA build is in the cache too', () => {
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

  it('refuses a CPU build where a CUDA build is asked for', async () => {
    const python = script(
      'python3',
      'while [ "$1" != "--target" ]; do shift; done; mkdir -p "$2/torch/lib"; echo "cuda = None" > "$2/torch/version.py"',
    );
    const fetching = fetchLibTorch({ variant: 'cuda', cache: join(folder, 'cache'), python, report: () => {} });
    await expect(fetching).rejects.toThrow(/is a CPU build/);
  });
});

describe('a step of the build', () => {
  it('keeps its output in a log and ends its error with it', async () => {
    const logFile = join(folder, 'step.log');
    const failing = runCommand('sh', ['-c', 'echo first; echo broken >&2; exit 3'], { logFile });
    await expect(failing).rejects.toThrow(BuildError);
    await expect(failing).rejects.toThrow(/exit code 3[^]*first[^]*broken/);
  });

  it('says so where the command does not exist', async () => {
    await expect(runCommand(join(folder, 'absent'), [], { logFile: join(folder, 'log') })).rejects.toThrow(/ENOENT/);
  });
});

describe('the lock', () => {
  it('lets one in at a time', async () => {
    const lock = join(folder, 'lock');
    let inside = 0;
    let most = 0;
    const enter = () =>
      withLock(
        lock,
        () => {},
        async () => {
          most = Math.max(most, ++inside);
          await new Promise((resolve) => setTimeout(resolve, 20));
          inside--;
        },
      );
    await Promise.all([enter(), enter(), enter()]);
    expect(most).toBe(1);
    expect(existsSync(lock)).toBe(false);
  });

  it('is taken over from a process that died', async () => {
    const child = spawn('true');
    await once(child, 'exit');
    const lock = join(folder, 'lock');
    writeFileSync(lock, String(child.pid));
    expect(
      await withLock(
        lock,
        () => {},
        async () => 'in',
      ),
    ).toBe('in');
  });

  it('is released where the work throws', async () => {
    const lock = join(folder, 'lock');
    await expect(
      withLock(
        lock,
        () => {},
        async () => {
          throw new Error('broken');
        },
      ),
    ).rejects.toThrow('broken');
    expect(existsSync(lock)).toBe(false);
  });
});
