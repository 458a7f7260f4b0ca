// Puts a LibTorch into the cache: the wheels that pip finds, less their Python.

import { existsSync, readdirSync, renameSync, rmSync, statSync } from 'node:fs';
import { join } from 'node:path';

import { expected } from '../../schema/validate.js';
import { howToDownload, mainLibrary, noCacheDirectory, type Variant } from '../../runtime/native/libtorch.js';
import { neededLibraries } from '../../runtime/native/needed-libraries.js';
import { cudaFor, type CudaMajor, driverFor, driverVersion } from './cuda-driver.js';
import { freeBytes as freeOnDisk } from '../free-space.js';
import { withLock } from '../lock.js';
import { gigabytes, megabytes } from '../text.js';
import { cudaVersion, pipAttempts, versionToFetch } from './pip-request.js';
import { BuildError } from './run-command.js';
import { Wheels } from './wheels.js';
import { makeDirectory } from '../../runtime/make-directory.js';

/** Bytes to fetch and bytes unpacked, of the versions that are fetched by default; others are about as large. */
const sizes: Record<Variant, { download: number; unpacked: number }> = {
  cpu: { download: 0.2e9, unpacked: 0.5e9 },
  cuda: { download: 2.75e9, unpacked: 4.2e9 },
};

/** Tells the CUDA libraries that torch needs: NVIDIA's packages, and the one that only lists some of them. */
const isCudas = (name: string): boolean => /^(nvidia-|cuda-toolkit$)/.test(name);

/** What libtorch_cpu.so of a CUDA build itself needs; libtorch_cuda.so alone needs the mathematics libraries. */
const isCpuHalfs = (name: string): boolean => /^(nvidia-cuda-(runtime|cupti)\b|cuda-toolkit$)/.test(name);

/** Found on every system, or, as libcuda, with the driver. */
const isSystems = (name: string): boolean =>
  /^(ld-linux.*|lib(c|m|dl|rt|util|pthread|stdc\+\+|gcc_s|cuda))\.so\b/.test(name);

/** The libraries that a LibTorch needs and does not have beside it. */
export function missingLibraries(torch: string, variant: Variant): string[] {
  return neededLibraries(mainLibrary(torch, variant)).flatMap(({ name, path }) =>
    path === undefined && !isSystems(name) ? [name] : [],
  );
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

export interface FetchOptions {
  variant: Variant;
  cache: string | undefined;
  python: string;
  report: (line: string) => void;
  /** The driver whose CUDA is fetched, or none; by default what nvidia-smi finds. */
  driver?: { version: string | undefined };
  /** Bytes that a folder's disk has free. */
  freeBytes?: (folder: string) => number;
}

/**
 * Fetches a LibTorch into `cache` and returns its folder, `<cache>/libtorch-<version>-<variant>/torch`: whole, with
 * every library that it needs but the driver's, or absent. What a cut or failed fetch has finished is kept beside it
 * for the next one.
 * @throws BuildError where the disk or the driver does not suffice, or with what pip said where no attempt works
 */
export async function fetchLibTorch(options: FetchOptions): Promise<string> {
  const { variant, cache, report } = options;
  if (cache === undefined) throw new BuildError(`There is no place for LibTorch: ${noCacheDirectory}.`);
  const version = versionToFetch(variant);
  const driver = variant === 'cuda' ? (options.driver ?? { version: driverVersion() }).version : undefined;
  const cuda = cudaFor(driver);
  const build = variant === 'cuda' && cuda !== 13 ? `cu${cuda}-cuda` : variant;
  const destination = join(cache, `libtorch-${version}-${build}`);
  const torch = join(destination, 'torch');
  const isWhole = () => existsSync(torch) && missingLibraries(torch, variant).length === 0;
  if (isWhole()) return torch;

  const label = `LibTorch ${version} (${variant === 'cuda' ? `CUDA ${cuda}` : variant})`;
  const folder = join(cache, `.fetch-${version}-${build}`);
  return withLock(`${folder}.lock`, report, async () => {
    if (isWhole()) return torch; // another process has fetched it meanwhile
    const started = performance.now();
    const wheels = new Wheels(folder, options.python);
    makeDirectory(folder);
    if (variant === 'cuda') report(driverLine(driver, cuda));
    checkSpace(label, folder, variant, wheels.size(), options);
    const site = join(folder, 'site');
    try {
      const paths = await fetchWheels(wheels, label, { variant, version, cuda, report });
      report(`${label}: unpacking`);
      await wheels.unpack(paths, site);
    } catch (error) {
      throw error instanceof BuildError ? goingOn(error, wheels, folder) : error;
    }
    prune(site);
    const missing = missingLibraries(join(site, 'torch'), variant);
    if (missing.length > 0) {
      rmSync(folder, { recursive: true, force: true });
      throw new BuildError(`${label}: what pip fetched lacks ${missing.join(', ')}, and cannot be loaded`);
    }
    // One that lacked something may be there; a process that has it open keeps it.
    rmSync(destination, { recursive: true, force: true });
    renameSync(site, destination);
    rmSync(folder, { recursive: true, force: true });
    const seconds = ((performance.now() - started) / 1000).toFixed(1);
    report(`${label}: fetched, ${megabytes(directorySize(destination))}, ${seconds} s`);
    return torch;
  });
}

/** With what the next try is spared; leaves no empty folder behind. */
function goingOn(error: BuildError, wheels: Wheels, folder: string): BuildError {
  const kept = wheels.size();
  if (kept === 0) rmSync(folder, { recursive: true, force: true });
  const next =
    `${megabytes(kept)} of whole wheels are kept in ${folder}: the same command goes on with the wheel that is ` +
    'missing, from its beginning. While it runs, pip 25.1 or newer goes on within a wheel, too.';
  return kept === 0 ? error : new BuildError(`${error.message}\n${next}`, { cause: error });
}

function driverLine(driver: string | undefined, cuda: CudaMajor): string {
  return driver === undefined
    ? `NVIDIA driver: none found here; CUDA ${cuda} is fetched, which needs ${driverFor(cuda)} or newer`
    : `NVIDIA driver: ${driver}, which serves CUDA ${cuda}`;
}

/** Says how much is to come and where it goes. @throws BuildError where it does not fit there */
function checkSpace(
  label: string,
  folder: string,
  variant: Variant,
  kept: number,
  { report, freeBytes = freeOnDisk }: FetchOptions,
): void {
  const { download, unpacked } = sizes[variant];
  const left = Math.max(0, download - kept);
  const free = freeBytes(folder);
  const had = kept > 0 ? `, ${megabytes(kept)} of it there already` : '';
  report(
    `${label}: about ${gigabytes(download)} to fetch with pip${had}, ${gigabytes(unpacked)} unpacked, ` +
      `into ${folder}; ${gigabytes(free)} are free there`,
  );
  if (free >= left + unpacked) return;
  throw new BuildError(
    expected(label, `${gigabytes(left + unpacked)} free in ${folder}`, gigabytes(free)) +
      '. Make room there, or set XDG_CACHE_HOME to a folder on a larger disk.',
  );
}

/** Everything of a LibTorch, the smaller packages named by those before them. */
async function fetchWheels(
  wheels: Wheels,
  label: string,
  {
    variant,
    version,
    cuda,
    report,
  }: { variant: Variant; version: string; cuda: CudaMajor; report: (line: string) => void },
): Promise<string[]> {
  const fetch = async (name: string, attempts: string[][]): Promise<string> => {
    const kept = wheels.find(name) !== undefined;
    const path = await wheels.fetch(name, attempts);
    report(`  ${name}: ${megabytes(statSync(path).size)}${kept ? ', from the last try' : ''}`);
    return path;
  };
  const torch = await fetch('torch', pipAttempts(variant, version, { cuda })).catch((error: unknown) => {
    throw error instanceof BuildError ? withoutTorch(error, variant, version, cuda) : error;
  });
  const { requires, text = '' } = wheels.read(torch, { file: 'torch/version.py' });
  const built = cudaVersion(text);
  if (variant === 'cuda' && Number(built?.split('.')[0]) !== cuda) {
    rmSync(join(torch, '..'), { recursive: true, force: true });
    throw new BuildError(
      `${label}: pip's torch ${version} is ${built === undefined ? 'a CPU build' : `of CUDA ${built}`}. ` +
        'Set EAM_TORCH_LIBTORCH to ' +
        `the folder of a CUDA ${cuda} LibTorch, or point pip at an index of CUDA ${cuda} builds.`,
    );
  }
  if (built === undefined) return [torch];

  const isWanted = variant === 'cuda' ? isCudas : isCpuHalfs;
  const paths = new Map([['torch', torch]]);
  const queue = [...requires];
  for (let next = queue.shift(); next; next = queue.shift()) {
    const { name, extras, specifier } = next;
    if (!isWanted(name) || paths.has(name)) continue;
    const path = await fetch(name, [[`${name}${specifier}`, '--only-binary=:all:']]);
    paths.set(name, path);
    queue.push(...wheels.read(path, { extras }).requires);
  }
  return [...paths.values()];
}

function withoutTorch(error: BuildError, variant: Variant, version: string, cuda: CudaMajor): BuildError {
  const older =
    variant === 'cuda' && cuda !== 13
      ? `This machine's driver serves CUDA ${cuda} only; ${driverFor(13)} or newer serves CUDA 13, ` +
        'of which there are more builds.\n'
      : '';
  return new BuildError(
    `pip could not fetch torch ${version}. ${older}Install it yourself (pip install torch==${version}), or\n` +
      `  ${howToDownload(variant === 'cpu' ? version : undefined)}\n${error.message}`,
    { cause: error },
  );
}
