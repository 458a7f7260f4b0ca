// Where a LibTorch may be, in the order in which it is looked for, and whether it fits.

import { spawnSync } from 'node:child_process';
import { existsSync, readFileSync, readdirSync } from 'node:fs';
import { homedir } from 'node:os';
import { isAbsolute, join, resolve } from 'node:path';

import { NativeLoadError } from '../../errors.js';

export type Variant = 'cpu' | 'cuda';

/** A LibTorch that was found. */
export interface LibTorch {
  /** What pointed to it, such as 'EAM_TORCH_LIBTORCH' or 'python3'. */
  source: string;
  /** The folder with lib/ (and include/, where something can be compiled against it). */
  directory: string;
  /** Such as '2.13.0+cpu'. */
  version: string;
  variant: Variant;
}

/** A place that was looked at and why it is not used. */
export interface RejectedLibTorch {
  source: string;
  directory?: string;
  version?: string;
  variant?: Variant;
  rejected: string;
}

export type LibTorchCandidate = (LibTorch & { rejected?: undefined }) | RejectedLibTorch;

export const overrideVariable = 'EAM_TORCH_LIBTORCH';

const librarySuffix = process.platform === 'darwin' ? 'dylib' : 'so';
const systemDirectories = ['/usr/local/libtorch', '/opt/libtorch', '/usr/lib/libtorch'];
const oldestMinor = 11;
const newestMinor = 14;

/** Where LibTorch is published for C++, which needs no Python. */
const downloadPage = 'https://pytorch.org/get-started/locally/';

/** How to get a LibTorch by hand, for whom there is no Python; `version` is that of a CPU build, such as '2.13.0'. */
export function howToDownload(version?: string): string {
  const hasArchive = version !== undefined && process.platform === 'linux' && process.arch === 'x64';
  const archive = `https://download.pytorch.org/libtorch/cpu/libtorch-shared-with-deps-${version}%2Bcpu.zip`;
  return [
    `download the package "LibTorch" from ${downloadPage}${hasArchive ? '' : ','}`,
    ...(hasArchive ? [`  (the CPU build of ${version}: ${archive}),`] : []),
    `unzip it, and set ${overrideVariable} to the folder "libtorch" that this makes`,
  ].join('\n  ');
}

/** Why there is no `cacheDirectory`. */
export const noCacheDirectory = 'this user has no home directory and XDG_CACHE_HOME is not set';

/**
 * Where fetched LibTorchs live, and what else is kept between runs: `$XDG_CACHE_HOME/eam-torch`, by default
 * `~/.cache/eam-torch`. undefined where there is no home either, as in a container that runs as a user of its own.
 */
export function cacheDirectory(): string | undefined {
  const given = process.env['XDG_CACHE_HOME'];
  if (given) return join(given, 'eam-torch');
  const home = homeDirectory();
  return home && join(home, ...(process.platform === 'darwin' ? ['Library', 'Caches'] : ['.cache']), 'eam-torch');
}

/** The user's home directory; undefined where there is none. */
export function homeDirectory(): string | undefined {
  try {
    const home = homedir();
    return isAbsolute(home) ? home : undefined; // HOME may be set and empty
  } catch {
    return undefined; // HOME is not set, and the system does not know the user
  }
}

/** The library whose loading brings all of a LibTorch with it. */
export function mainLibrary(directory: string, variant: Variant): string {
  return join(directory, 'lib', `libtorch_${variant}.${librarySuffix}`);
}

/** '2.13' of '2.13.0+cpu'. */
export function minorOf(version: string): string {
  return version.split('.').slice(0, 2).join('.');
}

function read(file: string): string | undefined {
  try {
    return readFileSync(file, 'utf8');
  } catch {
    return undefined;
  }
}

// A wheel writes its version into version.py, an archive from pytorch.org into build-version.
function versionIn(directory: string): string | undefined {
  const python = read(join(directory, 'version.py'));
  const text =
    python === undefined ? read(join(directory, 'build-version')) : /__version__\s*=\s*['"]([^'"]+)/.exec(python)?.[1];
  return /\d+\.\d+\.\d+\S*/.exec(text ?? '')?.[0];
}

/** What is at `given`: a LibTorch's own folder, or one that holds it as `torch` (site-packages, an unpacked wheel). */
export function inspectDirectory(source: string, given: string): LibTorchCandidate {
  // The compiler runs in another working directory than the caller.
  const path = resolve(given);
  if (!existsSync(path)) return { source, directory: path, rejected: 'the folder does not exist' };
  const directory = [path, join(path, 'torch')].find((folder) => existsSync(mainLibrary(folder, 'cpu')));
  if (directory === undefined) {
    return { source, directory: path, rejected: `no lib/libtorch_cpu.${librarySuffix} in it` };
  }
  const variant = existsSync(mainLibrary(directory, 'cuda')) ? 'cuda' : 'cpu';
  const version = versionIn(directory);
  if (version === undefined) {
    return {
      source,
      directory,
      variant,
      rejected: 'its version is unknown: neither version.py nor build-version gives one',
    };
  }
  return { source, directory, version, variant };
}

const pythonScript = `
import sys
sys.path = [path for path in sys.path if path]
import importlib.util, os
spec = importlib.util.find_spec('torch')
print(os.path.dirname(spec.origin) if spec and spec.origin else '')
`;

function inspectPython(source: string, command: string): LibTorchCandidate {
  // Found, not imported: importing torch takes seconds.
  const result = spawnSync(command, ['-c', pythonScript], {
    encoding: 'utf8',
    timeout: 20_000,
    stdio: ['ignore', 'pipe', 'ignore'],
  });
  const rejection = (reason: string): LibTorchCandidate => ({
    source,
    rejected: source === command ? reason : `${command}: ${reason}`,
  });
  if (result.error)
    return rejection((result.error as NodeJS.ErrnoException).code === 'ENOENT' ? 'not found' : result.error.message);
  if (result.status !== 0) return rejection(`failed with status ${result.status}`);
  const directory = result.stdout.trim();
  if (directory === '') return rejection('has no torch');
  return inspectDirectory(source, directory);
}

function* pythonCandidates(): Generator<LibTorchCandidate> {
  for (const variable of ['VIRTUAL_ENV', 'CONDA_PREFIX']) {
    const prefix = process.env[variable];
    if (prefix) yield inspectPython(`Python of ${variable}`, join(prefix, 'bin', 'python'));
  }
  for (const command of ['python3', 'python']) yield inspectPython(command, command);
}

function* cachedCandidates(): Generator<LibTorchCandidate> {
  const cache = cacheDirectory();
  if (cache === undefined) {
    yield { source: 'cache', rejected: noCacheDirectory };
    return;
  }
  let names: string[] = [];
  try {
    names = readdirSync(cache).filter((name) => name.startsWith('libtorch-'));
  } catch {
    // No cache yet.
  }
  if (names.length === 0) yield { source: 'cache', directory: cache, rejected: 'nothing fetched yet' };
  // CPU builds first, the newest of each first: a CUDA one that was fetched later does not change what the CPU uses.
  const isCuda = (name: string) => Number(name.endsWith('-cuda'));
  names.sort((a, b) => isCuda(a) - isCuda(b) || (a < b ? 1 : -1));
  for (const name of names) yield inspectDirectory('cache', join(cache, name));
}

/** Every place in the order of preference. Lazy: Python is started only where nothing before it was taken. */
export function* libtorchCandidates(): Generator<LibTorchCandidate> {
  for (const variable of [overrideVariable, 'LIBTORCH']) {
    const path = process.env[variable];
    if (path) yield inspectDirectory(variable, path);
    else yield { source: variable, rejected: 'not set' };
  }
  const seen = new Set<string>();
  for (const candidate of pythonCandidates()) {
    if (candidate.directory !== undefined && seen.has(candidate.directory)) continue;
    if (candidate.directory !== undefined) seen.add(candidate.directory);
    yield candidate;
  }
  yield* cachedCandidates();
  for (const directory of systemDirectories) yield inspectDirectory('system', directory);
}

/** Set on purpose: where it does not fit, nothing else is taken in its place. */
export function isOverride(candidate: LibTorchCandidate): boolean {
  return candidate.source === overrideVariable && candidate.directory !== undefined;
}

export function reject(candidate: LibTorch, rejected: string): RejectedLibTorch {
  return { ...candidate, rejected };
}

/** `  - EAM_TORCH_LIBTORCH, /opt/libtorch (2.12.0, cpu): reason` */
export function describeCandidate(candidate: LibTorchCandidate): string {
  const facts = [candidate.version, candidate.version && candidate.variant].filter(Boolean).join(', ');
  const where = [candidate.source, candidate.directory].filter(Boolean).join(', ');
  return `  - ${where}${facts ? ` (${facts})` : ''}${candidate.rejected ? `: ${candidate.rejected}` : ''}`;
}

function suitsBuild(candidate: LibTorch, variant: Variant): LibTorchCandidate {
  const [major, minor] = candidate.version.split('.').map(Number);
  if (major !== 2 || minor! < oldestMinor || minor! > newestMinor) {
    return reject(candidate, `LibTorch 2.${oldestMinor} to 2.${newestMinor} is needed`);
  }
  if (variant === 'cuda' && candidate.variant !== 'cuda')
    return reject(candidate, 'a CPU build; the cuda variant needs a CUDA one');
  if (!existsSync(join(candidate.directory, 'include', 'ATen', 'ATen.h')))
    return reject(candidate, 'no headers (include/ATen/ATen.h) in it');
  return candidate;
}

/**
 * A LibTorch to compile against: `directory` where given, otherwise the first that fits; undefined where none does.
 * @throws NativeLoadError where `directory` or EAM_TORCH_LIBTORCH does not fit
 */
export function findLibTorch(variant: Variant, directory?: string): LibTorch | undefined {
  const candidates = directory === undefined ? libtorchCandidates() : [inspectDirectory('given', directory)];
  for (const found of candidates) {
    const candidate = found.rejected === undefined ? suitsBuild(found, variant) : found;
    if (candidate.rejected === undefined) return candidate;
    if (directory !== undefined || isOverride(candidate)) {
      throw new NativeLoadError(`The LibTorch to build against does not fit.\n${describeCandidate(candidate)}`);
    }
  }
  return undefined;
}
