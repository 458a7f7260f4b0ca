import { binding } from './native/index.js';
import { packageVersion } from './package.js';

/** What produced a result, for files that may outlive it. */
export function versions(): Record<string, string> {
  return { 'eam-torch': packageVersion, libtorch: binding().libtorchVersion, node: process.versions.node };
}
