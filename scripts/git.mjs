// What scripts for developers ask git; whoever uses the package, and its set-up, does without.

import { spawnSync } from 'node:child_process';
import { join } from 'node:path';

/** What git prints, run in the root of the checkout. Without git, or a checkout, the process ends and says so. */
export function git(...args) {
  const options = { cwd: join(import.meta.dirname, '..'), encoding: 'utf8', maxBuffer: 2 ** 26 };
  const { stdout, stderr, status, error } = spawnSync('git', args, options);
  if (status === 0) return stdout;
  const problem = error?.code === 'ENOENT' ? 'git is not on PATH' : (error?.message ?? stderr.trim());
  console.error(`git ${args[0]}: ${problem}; this script asks git about a checkout of the sources`);
  process.exit(1);
}
