// Puts a LibTorch into the cache: the wheel that pip finds, less its Python.

import { existsSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, renameSync, rmSync, statSync } from 'node:fs';
import { join } from 'node:path';

import { ConfigError } from '../../errors.js';
import { howToDownload, type Variant } from '../../runtime/native/libtorch.js';
import { isRunning } from './lock.js';
import { BuildError, runCommand, tail } from './run-command.js';

const defaultVersion: Record<Variant, string> = { cpu: '2.13.0', cuda: '2.14.1' };

// PyPI's Linux wheel of torch is a CUDA build; the CPU builds, whose version ends in +cpu, are in PyTorch's own index.
// A version with a local part cannot be uploaded to PyPI, so the added index cannot be shadowed, nor shadow anything.
const cpuIndex = 'https://download.pytorch.org/whl/cpu';

/** The version to fetch: EAM_TORCH_LIBTORCH_VERSION, or the one this package is tested with. */
export function versionToFetch(variant: Variant): string {
  const version = process.env['EAM_TORCH_LIBTORCH_VERSION'] || defaultVersion[variant];
  if (!/^2\.1[1-4]\.\d+$/.test(version)) {
    throw new ConfigError(
      `EAM_TORCH_LIBTORCH_VERSION is '${version}'; expected a version from 2.11.0 to 2.14.x, such as ${defaultVersion[variant]}`,
    );
  }
  return version;
}

/** What pip is asked for, best first; each is tried until one is found. */
export function pipAttempts(variant: Variant, version: string, platform = process.platform): string[][] {
  const plain = [`torch==${version}`];
  // The libraries do not depend on the Python that runs pip, which may be one that has no wheel of this torch.
  const anyPython = ['--only-binary=:all:', '--python-version=3.12'];
  if (variant === 'cuda' || platform !== 'linux') return [plain, [...plain, ...anyPython]];
  const cpu = [`torch==${version}+cpu`, `--extra-index-url=${cpuIndex}`];
  return [cpu, [...cpu, ...anyPython], plain];
}

/** The CUDA version in a wheel's version.py, undefined for a CPU build. */
export function cudaVersion(torchDirectory: string): string | undefined {
  const text = readFileSync(join(torchDirectory, 'version.py'), 'utf8');
  return /^cuda(?::[^=]*)?\s*=\s*'([\d.]+)'/m.exec(text)?.[1];
}

/** What libtorch_cpu.so of a CUDA build itself loads; the mathematics libraries are needed only by libtorch_cuda.so. */
function runtimeWheels(cuda: string): string[] {
  const major = Number(cuda.split('.')[0]);
  const names = ['nvidia-cuda-runtime', 'nvidia-cuda-cupti'];
  return major >= 13 ? names.map((name) => `${name}~=${major}.0`) : names.map((name) => `${name}-cu${major}`);
}

function directorySize(directory: string): number {
  let size = 0;
  for (const entry of readdirSync(directory, { withFileTypes: true })) {
    const path = join(directory, entry.name);
    size += entry.isDirectory() ? directorySize(path) : statSync(path).size;
  }
  return size;
}

/** Headers, libraries, version and licences stay. */
function prune(sitePackages: string): void {
  const keep = /^(torch|torch\.libs|nvidia|.*\.dist-info)$/;
  const keepInTorch = /^(lib|include|version\.py)$/;
  const dropLibrary = /^(libtorch_python|lib.*test)\b/;
  const remove = (directory: string, test: (name: string) => boolean) => {
    for (const name of readdirSync(directory)) {
      if (test(name)) rmSync(join(directory, name), { recursive: true, force: true });
    }
  };
  remove(sitePackages, (name) => !keep.test(name));
  remove(join(sitePackages, 'torch'), (name) => !keepInTorch.test(name));
  remove(join(sitePackages, 'torch', 'lib'), (name) => dropLibrary.test(name));
}

/** Removes what a killed fetch left: folders named after a process that is gone. */
function removeAbandoned(cache: string): void {
  for (const name of readdirSync(cache)) {
    const pid = Number(/^\.fetch-(\d+)-/.exec(name)?.[1]);
    if (pid && !isRunning(pid)) rmSync(join(cache, name), { recursive: true, force: true });
  }
}

/**
 * Fetches a LibTorch into `cache` and returns its folder, `<cache>/libtorch-<version>-<variant>/torch`: whole, or absent.
 * Throws BuildError with what pip said where no attempt works.
 */
export async function fetchLibTorch(options: {
  variant: Variant;
  cache: string;
  python: string;
  report: (line: string) => void;
}): Promise<string> {
  const { variant, cache, python, report } = options;
  const version = versionToFetch(variant);
  const destination = join(cache, `libtorch-${version}-${variant}`);
  const torch = join(destination, 'torch');
  if (existsSync(torch)) return torch;

  const started = performance.now();
  report(`LibTorch ${version} (${variant}): fetching with pip into ${cache} (a few hundred megabytes)`);
  mkdirSync(cache, { recursive: true });
  removeAbandoned(cache);
  const staging = mkdtempSync(join(cache, `.fetch-${process.pid}-`));
  try {
    const site = join(staging, 'site');
    const logFile = join(staging, 'pip.log');
    const pip = (args: string[]) =>
      runCommand(
        python,
        [
          '-m',
          'pip',
          'install',
          '--target',
          site,
          '--no-deps',
          '--no-compile',
          '--no-cache-dir',
          '--disable-pip-version-check',
          '--progress-bar',
          'off',
          '--retries',
          '1',
          ...args,
        ],
        // pip unpacks in TMPDIR and then moves: on one file system that is a rename.
        { logFile, env: { ...process.env, TMPDIR: staging } },
      );
    let found = false;
    for (const attempt of pipAttempts(variant, version)) {
      try {
        await pip(attempt);
        found = true;
        break;
      } catch (error) {
        if (!(error instanceof BuildError)) throw error;
        rmSync(site, { recursive: true, force: true });
      }
    }
    if (!found) {
      throw new BuildError(
        `pip could not fetch torch ${version}. Install it yourself (pip install torch==${version}), or\n` +
          `  ${howToDownload(variant === 'cpu' ? version : undefined)}\nThe end of pip's log:\n${tail(logFile)}`,
      );
    }
    const cuda = cudaVersion(join(site, 'torch'));
    if (variant === 'cuda' && !cuda) {
      throw new BuildError(
        `pip's torch ${version} is a CPU build. Set EAM_TORCH_LIBTORCH to a CUDA LibTorch's folder, or point pip at an index ` +
          'of CUDA builds.',
      );
    }
    if (cuda) await pip(runtimeWheels(cuda));
    prune(site);
    try {
      renameSync(site, destination);
    } catch (error) {
      if (!existsSync(torch)) throw error; // another process finished first
    }
  } finally {
    rmSync(staging, { recursive: true, force: true });
  }
  const megabytes = (directorySize(destination) / 1e6).toFixed(0);
  report(
    `LibTorch ${version} (${variant}): fetched, ${megabytes} MB, ${((performance.now() - started) / 1000).toFixed(1)} s`,
  );
  return torch;
}
