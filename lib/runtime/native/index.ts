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
import type { Binding } from './binding.js';
import { load } from './loader.js';

let loaded: Binding | undefined;

/**
 * The native addon, loaded on first use.
 * @throws NativeLoadError
 */
export function binding(): Binding {
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
  }
  return loaded;
}
