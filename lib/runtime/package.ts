import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';

import { NativeLoadError } from '../errors.js';

const { directory, version } = locate();

/** The package's own directory. */
export const packageDirectory: string = directory;

export const packageVersion: string = version;

/** The directory of a model or classifier that comes with the package. */
export function shippedDirectory(name: string): string {
  return join(packageDirectory, 'assets', name);
}

/** The folder of the recipes of `eam reproduce`. */
export const recipesDirectory: string = join(packageDirectory, 'assets', 'recipes');

/** The names of the recipes that come with the package, a file each. */
export const recipeNames = (): string[] =>
  readdirSync(recipesDirectory)
    .map((file) => file.replace(/\.json$/, ''))
    .sort();

/**
 * Where this file is, two folders below the package's own. A bundler puts it elsewhere, where neither the addon nor the
 * models that come with it are, and where a package.json may be that of the program it is bundled into.
 */
function locate(): { directory: string; version: string } {
  const name = 'eam-torch';
  // Bundlers that write CommonJS leave it out.
  const url: string | undefined = import.meta.url;
  let found = 'no file that it could be found by';
  if (url?.startsWith('file:')) {
    const place = fileURLToPath(new URL('../../', url));
    try {
      const json = JSON.parse(readFileSync(join(place, 'package.json'), 'utf8')) as { name?: string; version: string };
      if (json.name === name) return { directory: place, version: json.version };
      found = `the package.json of ${JSON.stringify(json.name)} in ${place}`;
    } catch {
      found = `no package.json in ${place}`;
    }
  }
  throw new NativeLoadError(
    `${name} is not in its own folder: expected its package.json, addon and assets around its code, got ${found}. ` +
      `It cannot be bundled: keep it external (esbuild: --external:${name}; Rollup: external; webpack: externals; ` +
      'Next.js: serverExternalPackages), and install it beside the program',
  );
}
