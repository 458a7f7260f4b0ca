import { existsSync } from 'node:fs';
import { join } from 'node:path';

import { git } from '../git.mjs';

export const root = join(import.meta.dirname, '..', '..');

/** Every file that git has or would take, relative to the root. */
export function sourceFiles() {
  const names = git('ls-files', '-z', '--cached', '--others', '--exclude-standard', '--deduplicate');
  // What was removed, and not yet committed, is still listed.
  return names.split('\0').filter((path) => path && existsSync(join(root, path)));
}
