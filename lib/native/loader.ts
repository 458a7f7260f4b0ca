// Finds the addon and a LibTorch of its version, opens both. Everything that was tried ends in one error message.

import { existsSync, readFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { constants } from 'node:os';
import { dirname, join, resolve } from 'node:path';
import { fileURLToPath } from 'node:url';

import { NativeLoadError } from '../errors.js';
import type { Binding } from './binding.js';
import { describeCandidate, isOverride, type LibTorch, type LibTorchCandidate, libtorchCandidates, mainLibrary, minorOf, overrideVariable, reject, type Variant } from './libtorch.js';

/** A built addon: eam_torch.node, eam_loader.node and eam_torch.json in one folder. */
export interface Addon {
  directory: string;
  variant: Variant;
  /** The LibTorch that it was compiled against. */
  libtorch: string;
}

export interface RejectedAddon {
  directory: string;
  rejected: string;
}

/** What is loaded and what was tried on the way. */
export interface Loaded {
  binding: Binding;
  addon: Addon;
  libtorch: LibTorch;
}

/** Everything `eam doctor` prints about the native side. */
export interface Inspection {
  addons: (Addon | RejectedAddon)[];
  candidates: LibTorchCandidate[];
  loaded?: { addon: Addon; libtorch: LibTorch };
  /** The message of the NativeLoadError, where nothing could be loaded. */
  error?: string;
}

// CUDA first: it serves the CPU too. EAM_TORCH_VARIANT takes one of them only.
const variants: readonly Variant[] = ['cuda', 'cpu'];

/** The package's own folder, from lib/ and from dist/ alike. */
function packageRoot(): string {
  let directory = dirname(fileURLToPath(import.meta.url));
  while (!existsSync(join(directory, 'package.json'))) directory = dirname(directory);
  return directory;
}

function wantedVariants(): readonly Variant[] {
  const wanted = process.env['EAM_TORCH_VARIANT'];
  if (!wanted) return variants;
  const found = variants.filter((variant) => variant === wanted);
  if (found.length === 0) throw new NativeLoadError(`EAM_TORCH_VARIANT is '${wanted}'; it must be 'cpu' or 'cuda'.`);
  return found;
}

/** build/cuda and build/cpu of the package, then what prebuildify made. EAM_TORCH_BUILD_DIR names one folder to use instead. */
function addonDirectories(): string[] {
  const override = process.env['EAM_TORCH_BUILD_DIR'];
  if (override) return [resolve(override)];
  const wanted = wantedVariants();
  const directories = wanted.map((variant) => join(packageRoot(), 'build', variant));
  const prebuilt = join(packageRoot(), 'prebuilds', `${process.platform}-${process.arch}`);
  return wanted.includes('cpu') && existsSync(prebuilt) ? [...directories, prebuilt] : directories;
}

function inspectAddon(directory: string): Addon | RejectedAddon {
  if (!existsSync(join(directory, 'eam_torch.node'))) return { directory, rejected: 'not built' };
  try {
    const { variant, libtorch } = JSON.parse(readFileSync(join(directory, 'eam_torch.json'), 'utf8')) as Omit<Addon, 'directory'>;
    return { directory, variant, libtorch };
  } catch (error) {
    return { directory, rejected: `eam_torch.json cannot be read (${(error as Error).message})` };
  }
}

function suits(candidate: LibTorch, addon: Addon): LibTorchCandidate {
  if (minorOf(candidate.version) !== minorOf(addon.libtorch)) {
    return reject(candidate, `version ${candidate.version}, but the ${addon.variant} addon was built against ${addon.libtorch} and needs ${minorOf(addon.libtorch)}.x`);
  }
  if (addon.variant === 'cuda' && candidate.variant !== 'cuda') return reject(candidate, 'a CPU build; the cuda addon needs a CUDA one');
  return candidate;
}

interface LibraryLoader {
  /** Opens a library with everything that it needs; undefined, or why it cannot be opened. */
  open(path: string): string | undefined;
}

function loaderOf(addon: Addon): LibraryLoader {
  return createRequire(import.meta.url)(join(addon.directory, 'eam_loader.node')) as LibraryLoader;
}

/** Opens the LibTorch; undefined, or why it cannot be opened. */
function open(loader: LibraryLoader, addon: Addon, libtorch: LibTorch): string | undefined {
  // OpenMP's threads spin while they wait, by default; where other programs want the cores, that was measured to make a
  // training step 20 times slower. Its runtime reads this once, as it is loaded.
  process.env['OMP_WAIT_POLICY'] ??= 'passive';
  // This one library brings the others with it. Where it fails, nothing of it stays in the process, so that the next
  // candidate does not mix with it.
  return loader.open(mainLibrary(libtorch.directory, addon.variant));
}

/** The candidates so far, read on only as far as needed, however many addons are tried. */
class Candidates {
  private readonly source = libtorchCandidates();
  private readonly known: LibTorchCandidate[] = [];

  *[Symbol.iterator](): Generator<LibTorchCandidate> {
    for (let index = 0; ; ++index) {
      if (index === this.known.length) {
        const next = this.source.next();
        if (next.done) return;
        this.known.push(next.value);
      }
      yield this.known[index]!;
    }
  }
}

function failure(addons: readonly (Addon | RejectedAddon)[], tried: readonly LibTorchCandidate[]): NativeLoadError {
  const built = addons.filter((addon): addon is Addon => !('rejected' in addon));
  const lines = ['eam-torch could not load its native core.', '', 'Native addon:'];
  for (const addon of addons) {
    lines.push('rejected' in addon ? `  - ${addon.directory}: ${addon.rejected}` : `  - ${addon.directory} (${addon.variant}, needs LibTorch ${minorOf(addon.libtorch)}.x)`);
  }
  if (built.length > 0) lines.push('', 'LibTorch:', ...tried.map(describeCandidate));
  const fixes: [command: string, what: string][] = [];
  if (tried.some(isOverride)) fixes.push([`unset ${overrideVariable}`, 'it is set, so nothing else is taken in its place']);
  if (built.length > 0) {
    const versions = [...new Set(built.map((addon) => minorOf(addon.libtorch)))].join(' or ');
    fixes.push([`export ${overrideVariable}=/path/to/libtorch`, `the folder with lib/ of a LibTorch ${versions}`]);
  }
  fixes.push(['npx eam build', 'finds or fetches a LibTorch and builds the addon for it']);
  const width = Math.max(...fixes.map(([command]) => command.length));
  lines.push('', 'To fix it, do one of these:', ...fixes.map(([command, what]) => `  ${command.padEnd(width)}  # ${what}`));
  lines.push('', '`npx eam doctor` prints all of this for a bug report.');
  return new NativeLoadError(lines.join('\n'));
}

interface Attempt {
  addons: (Addon | RejectedAddon)[];
  tried: LibTorchCandidate[];
  loaded?: Loaded;
}

function attempt(): Attempt {
  const addons = addonDirectories().map(inspectAddon);
  const candidates = new Candidates();
  const tried: LibTorchCandidate[] = [];
  for (const [index, addon] of addons.entries()) {
    if ('rejected' in addon) continue;
    let loader: LibraryLoader;
    try {
      loader = loaderOf(addon);
    } catch (error) {
      addons[index] = { directory: addon.directory, rejected: (error as Error).message.split('\n')[0]! };
      continue;
    }
    for (const found of candidates) {
      let candidate = found.rejected === undefined ? suits(found, addon) : found;
      if (candidate.rejected === undefined) {
        const problem = open(loader, addon, candidate);
        if (problem !== undefined) candidate = reject(candidate, problem);
      }
      if (!tried.some((other) => describeCandidate(other) === describeCandidate(candidate))) tried.push(candidate);
      if (candidate.rejected === undefined) {
        const module = { exports: {} as Binding };
        try {
          process.dlopen(module, join(addon.directory, 'eam_torch.node'), constants.dlopen.RTLD_NOW);
          return { addons, tried, loaded: { binding: module.exports, addon, libtorch: candidate } };
        } catch (error) {
          addons[index] = { directory: addon.directory, rejected: (error as Error).message };
          break;
        }
      }
      if (isOverride(candidate)) break;
    }
  }
  return { addons, tried };
}

/**
 * The addon, with the LibTorch that it needs.
 * @throws NativeLoadError with every candidate, why it was rejected, and the commands that help
 */
export function load(): Loaded {
  const { addons, tried, loaded } = attempt();
  if (!loaded) throw failure(addons, tried);
  return loaded;
}

/** What `load` finds, for `eam doctor`: every place, also those after the one that is taken. Never throws. */
export function inspect(): Inspection {
  try {
    const { addons, tried, loaded } = attempt();
    if (!loaded) return { addons, candidates: tried, error: failure(addons, tried).message };
    const { addon, libtorch } = loaded;
    const others = [...libtorchCandidates()]
      .filter((candidate) => !tried.some((other) => other.source === candidate.source && other.directory === candidate.directory))
      .map((candidate) => (candidate.rejected === undefined ? suits(candidate, addon) : candidate));
    return { addons, candidates: [...tried, ...others], loaded: { addon, libtorch } };
  } catch (error) {
    return { addons: [], candidates: [], error: (error as Error).message };
  }
}
