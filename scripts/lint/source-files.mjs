import { spawnSync } from 'node:child_process';
import { existsSync } from 'node:fs';
import { join } from 'node:path';

export const root = join(import.meta.dirname, '..', '..');

/** Every file that git has or would take, relative to the root. */
export function sourceFiles() {
  const args = ['ls-files', '-z', '--cached', '--others', '--exclude-standard', '--deduplicate'];
  const { stdout, status, error } = spawnSync('git', args, { cwd: root, encoding: 'utf8', maxBuffer: 2 ** 26 });
  if (status !== 0) throw error ?? new Error('git ls-files failed: the lint reads a git checkout');
  // What was removed, and not yet committed, is still listed.
  return stdout.split('\0').filter((path) => path && existsSync(join(root, path)));
}
