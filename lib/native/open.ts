// Opens a LibTorch and then the addon that was built for it, in this process.

import { createRequire } from 'node:module';
import { constants } from 'node:os';
import { join } from 'node:path';

import type { Binding } from './binding.js';
import { mainLibrary, type Variant } from './libtorch.js';

/** What does not open, and why. */
export interface OpenFailure {
  culprit: 'addon' | 'libtorch';
  reason: string;
}

interface LibraryLoader {
  /** Opens a library with everything that it needs; undefined, or why it cannot be opened. */
  open(path: string): string | undefined;
}

/**
 * Opens both; `begin` hears of each before it is opened, for whoever watches this process end there.
 * @param addon the folder of eam_torch.node
 * @param libtorch the folder of lib/
 */
export function open(
  addon: { directory: string; variant: Variant },
  libtorch: { directory: string },
  begin: (part: OpenFailure['culprit']) => void = () => {},
): { binding: Binding } | OpenFailure {
  begin('addon');
  let loader: LibraryLoader;
  try {
    loader = createRequire(import.meta.url)(join(addon.directory, 'eam_loader.node')) as LibraryLoader;
  } catch (error) {
    return { culprit: 'addon', reason: (error as Error).message.split('\n')[0]! };
  }

  begin('libtorch');
  // OpenMP's threads spin while they wait, by default; where other programs want the cores, that was measured to make a
  // training step 20 times slower. Its runtime reads this once, as it is loaded.
  process.env['OMP_WAIT_POLICY'] ??= 'passive';
  // This one library brings the others with it. Where it fails, nothing of it stays in the process, so that the next
  // candidate does not mix with it.
  const problem = loader.open(mainLibrary(libtorch.directory, addon.variant));
  if (problem !== undefined) return { culprit: 'libtorch', reason: problem };

  begin('addon');
  const module = { exports: {} as Binding };
  try {
    process.dlopen(module, join(addon.directory, 'eam_torch.node'), constants.dlopen.RTLD_NOW);
  } catch (error) {
    return { culprit: 'addon', reason: (error as Error).message };
  }
  return { binding: module.exports };
}
