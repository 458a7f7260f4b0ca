import { join } from 'node:path';
import { pathToFileURL } from 'node:url';

import { createJiti } from 'jiti';

import { packageDirectory } from './package.js';

/** The codes by which Node says that it does not compile a TypeScript module itself. */
const uncompiled = [
  'ERR_UNKNOWN_FILE_EXTENSION',
  'ERR_UNSUPPORTED_TYPESCRIPT_SYNTAX',
  'ERR_UNSUPPORTED_NODE_MODULES_TYPE_STRIPPING',
];

/**
 * Runs a module of the user's, and gives what it exports. TypeScript is compiled where Node does not do so itself.
 * @param path absolute
 * @throws what the module throws, or a SyntaxError
 */
export async function importModule(path: string): Promise<Readonly<Record<string, unknown>>> {
  try {
    return (await import(pathToFileURL(path).href)) as Record<string, unknown>;
  } catch (error) {
    if (!uncompiled.includes(String((error as NodeJS.ErrnoException | null)?.code))) throw error;
    return importAnew(path);
  }
}

/**
 * Does what {@link importModule} does, but compiles and runs the module anew at every call; `eam-torch` in it is this
 * package.
 */
export async function importAnew(path: string): Promise<Readonly<Record<string, unknown>>> {
  const own: unknown = await import(pathToFileURL(join(packageDirectory, 'dist', 'index.js')).href);
  const jiti = createJiti(import.meta.url, {
    fsCache: false,
    moduleCache: false,
    interopDefault: false,
    virtualModules: { 'eam-torch': own },
  });
  return jiti.import<Record<string, unknown>>(path);
}
