// Opens a LibTorch and then the addon that was built for it, in this process.

import { statSync } from 'node:fs';
import { createRequire } from 'node:module';
import { constants } from 'node:os';
import { basename, join } from 'node:path';

import type { ErrorClasses } from '../../errors.js';
import { mainLibrary, minorOf, type Variant } from './libtorch.js';
import { type NeededLibrary, neededLibraries } from './needed-libraries.js';

/** What loading itself uses of the addon's exports; binding.ts has all of them. */
export interface AddonExports {
  /** Such as '2.13.0', as the LibTorch that is loaded says itself. */
  readonly libtorchVersion: string;
  /** Gives the addon the classes of its errors. */
  initialize(errors: ErrorClasses): void;
}

/** What does not open, and why. */
export interface OpenFailure {
  culprit: 'addon' | 'libtorch';
  reason: string;
}

/** native/addon/loader/loader.c */
interface LibraryLoader {
  /**
   * Opens libraries in this order; undefined, or why the last one cannot be opened, and then none of them stays. One
   * that cannot be opened before what needs it is opened with that.
   */
  open(...paths: string[]): string | undefined;
  /** The file that whoever needs `name` is given from what is open; undefined where nothing of that name is. */
  locate(name: string): string | undefined;
  /** What an open libtorch_cpu says that it is, such as '2.13.0'; undefined where it does not say. */
  libtorchVersion(path: string): string | undefined;
  /** Sets the process's environment variable where it is not set. */
  setDefault(name: string, value: string): void;
}

/**
 * A worker that ends would unload the addon while finalizers and exit handlers still point into it. On Linux the addon
 * itself says that it stays; on macOS whoever opens it does, by RTLD_NODELETE, for which Node has no name.
 */
const staysOpen = process.platform === 'darwin' ? 0x80 : 0;

/** Tells LibTorch's own libraries from OpenMP's and CUDA's: LibTorch's are of one build, or do not work together. */
const isLibTorchs = (name: string): boolean => /^lib(c10|torch)/.test(name);

function isSameFile(a: string, b: string): boolean {
  try {
    const [x, y] = [statSync(a, { bigint: true }), statSync(b, { bigint: true })];
    return x.dev === y.dev && x.ino === y.ino;
  } catch {
    return false;
  }
}

/**
 * Why this process has, or would have, a part of another LibTorch beside the one in `directory`; undefined where it has
 * none.
 */
function mixture(loader: LibraryLoader, directory: string, libraries: readonly NeededLibrary[]): string | undefined {
  for (const { name } of libraries.filter((library) => isLibTorchs(library.name))) {
    const own = join(directory, 'lib', name);
    const found = loader.locate(name);
    if (found === undefined || isSameFile(found, own)) continue;
    return (
      `its ${name} is not ${own} but ${found}, which LD_LIBRARY_PATH, LD_PRELOAD or another addon brought into the ` +
      'process; parts of two LibTorchs do not work together'
    );
  }
  return undefined;
}

/**
 * Opens all of a LibTorch by absolute path, each library after what it needs, so that no search path decides what is
 * opened; of those that open only with what needs them, `mixture` sees whether the right ones came. Where that fails
 * nothing of it stays in the process, so that the next candidate does not mix with it.
 */
function openLibTorch(
  loader: LibraryLoader,
  directory: string,
  addon: { variant: Variant; libtorch: string },
): string | undefined {
  const main = mainLibrary(directory, addon.variant);
  let libraries: NeededLibrary[];
  try {
    libraries = [...neededLibraries(main), { name: basename(main), path: main }];
  } catch (error) {
    return (error as Error).message;
  }
  const before = mixture(loader, directory, libraries);
  if (before !== undefined) return before;

  // What is in the process already serves, such as an OpenMP that LD_PRELOAD brought or Node's own libstdc++: two of a
  // kind would be worse.
  const paths = libraries.flatMap(({ name, path }) =>
    path !== undefined && (isLibTorchs(name) || loader.locate(name) === undefined) ? [path] : [],
  );
  const problem = loader.open(...paths);
  if (problem !== undefined) return problem;

  const after = mixture(loader, directory, libraries);
  if (after !== undefined) return after;
  const cpu = mainLibrary(directory, 'cpu');
  const version = loader.libtorchVersion(cpu);
  if (version === undefined || minorOf(version) === minorOf(addon.libtorch)) return undefined;
  return (
    `${cpu} says that it is LibTorch ${version}, whatever the version file beside it says; the addon needs ` +
    `${minorOf(addon.libtorch)}.x`
  );
}

/**
 * Opens both; `begin` hears of each before it is opened, for whoever watches this process end there.
 * @param addon the folder of eam_torch.node, its variant and the LibTorch that it was compiled against
 * @param libtorch the folder of lib/
 */
export function open(
  addon: { directory: string; variant: Variant; libtorch: string },
  libtorch: { directory: string },
  begin: (part: OpenFailure['culprit']) => void = () => {},
): { binding: AddonExports } | OpenFailure {
  begin('addon');
  let loader: LibraryLoader;
  try {
    loader = createRequire(import.meta.url)(join(addon.directory, 'eam_loader.node')) as LibraryLoader;
    // OpenMP's threads spin while they wait, by default; where other programs want the cores, that was measured to make
    // a training step 20 times slower. Its runtime reads this once, as it is loaded, from the process's own
    // environment: a worker's `process.env` is a copy.
    loader.setDefault('OMP_WAIT_POLICY', 'passive');
  } catch (error) {
    return { culprit: 'addon', reason: (error as Error).message.split('\n')[0]! };
  }

  begin('libtorch');
  const problem = openLibTorch(loader, libtorch.directory, addon);
  if (problem !== undefined) return { culprit: 'libtorch', reason: problem };

  begin('addon');
  const module = { exports: {} as AddonExports };
  try {
    process.dlopen(module, join(addon.directory, 'eam_torch.node'), constants.dlopen.RTLD_NOW | staysOpen);
  } catch (error) {
    return { culprit: 'addon', reason: (error as Error).message };
  }
  return { binding: module.exports };
}
