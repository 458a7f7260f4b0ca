import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';

/** The package's own directory. */
export const packageDirectory = fileURLToPath(new URL('../../', import.meta.url));

export const packageVersion = (
  JSON.parse(readFileSync(join(packageDirectory, 'package.json'), 'utf8')) as { version: string }
).version;

/** The directory of a model or classifier that comes with the package. */
export function shippedDirectory(name: string): string {
  return join(packageDirectory, 'assets', name);
}
