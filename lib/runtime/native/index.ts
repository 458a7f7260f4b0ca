import type { Binding } from './binding.js';
import { core } from './core.js';

/**
 * The native addon, loaded by the first call.
 * @throws NativeLoadError
 */
export function binding(): Binding {
  return core() as Binding;
}
