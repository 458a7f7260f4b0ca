// What npm runs before it publishes: refuses a package without its binaries, or with those of other sources.

import { join } from 'node:path';
import { fileURLToPath } from 'node:url';

import { git } from '../git.mjs';
import { missingFrom } from './published.mjs';

const root = fileURLToPath(new URL('../..', import.meta.url));

const problems = missingFrom(join(root, 'prebuilds', 'linux-x64'), git('rev-parse', 'HEAD').trim());
const changed = git('status', '--porcelain').trim();
if (changed) problems.unshift(`the working tree is not what was committed:\n${changed}`);
if (problems.length > 0) {
  console.error(
    `not fit to be published:\n  ${problems.join('\n  ')}\nCommit, then \`npm run prebuild\` compiles them all.`,
  );
  process.exit(1);
}
