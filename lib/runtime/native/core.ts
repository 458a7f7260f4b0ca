import {
  CancelledError,
  CheckpointError,
  ConfigError,
  DisposedError,
  EamError,
  NonFiniteError,
  OutOfMemoryError,
  ShapeError,
} from '../../errors.js';
import { load } from './loader.js';
import type { AddonExports } from './open.js';

let loaded: AddonExports | undefined;
const listeners: ((exports: AddonExports) => void)[] = [];

/**
 * The addon's exports, loaded by the first call. `binding` in index.ts has their types, which build upon this file.
 * @throws NativeLoadError
 */
export function core(): AddonExports {
  if (!loaded) {
    const { binding } = load();
    binding.initialize({
      base: EamError,
      shape: ShapeError,
      config: ConfigError,
      checkpoint: CheckpointError,
      outOfMemory: OutOfMemoryError,
      nonFinite: NonFiniteError,
      disposed: DisposedError,
      cancelled: CancelledError,
    });
    loaded = binding;
    for (const listener of listeners) listener(binding);
  }
  return loaded;
}

/**
 * Calls `listener` with the addon's exports when they are loaded: at once where they are, and never where nothing loads
 * them.
 */
export function whenLoaded(listener: (exports: AddonExports) => void): void {
  if (loaded) listener(loaded);
  else listeners.push(listener);
}
