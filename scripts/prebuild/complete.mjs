// What npm runs before it publishes: refuses a package without its binaries, or with those of other sources.

import { execFileSync } from 'node:child_process';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';

import { missingFrom } from './published.mjs';

const root = fileURLToPath(new URL('../..', import.meta.url));
const git = (...args) => execFileSync('git', args, { cwd: root, encoding: 'utf8' }).trim();

const problems = missingFrom(join(root, 'prebuilds', 'linux-x64'), git('rev-parse', 'HEAD'));
const changed = git('status', '--porcelain');
if (changed) problems.unshift(`the working tree is not what was committed:\n${changed}`);
if (problems.length > 0) {
  console.error(
    `not fit to be published:\n  ${problems.join('\n  ')}\nCommit, then \`npm run prebuild\` compiles them all.`,
  );
  process.exit(1);
}
