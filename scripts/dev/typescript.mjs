// What dist/ was compiled from, and the compiler's options: for set-up and for `npm run dev`.

import { createHash } from 'node:crypto';
import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';

export const root = fileURLToPath(new URL('../..', import.meta.url));
export const compiler = join(root, 'node_modules', 'typescript', 'bin', 'tsc');
/** The file in dist/ that holds the hash of what was compiled. */
export const stampName = '.sources';

function hashOf(paths) {
  const hash = createHash('sha256');
  const add = (path) =>
    hash
      .update(`${path}\0`)
      .update(readFileSync(join(root, path)))
      .update('\0');
  const visit = (folder) => {
    const entries = readdirSync(join(root, folder), { withFileTypes: true });
    for (const entry of entries.sort((a, b) => (a.name < b.name ? -1 : 1))) {
      const path = `${folder}/${entry.name}`;
      if (entry.isDirectory()) visit(path);
      else add(path);
    }
  };
  for (const path of paths) path === 'lib' ? visit(path) : add(path);
  return hash.digest('hex');
}

/** By content: a fresh clone changes every file's time and no file's text. */
export const sourcesHash = () => hashOf(['lib', 'tsconfig.json', 'package-lock.json']);
