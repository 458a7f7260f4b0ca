// `npm run dev:native`: compiles what changed in native/ into build/cpu, which set-up has configured; nothing is hashed
// and no tool is looked for. With arguments it then runs vitest with them.

import { spawnSync } from 'node:child_process';
import { existsSync } from 'node:fs';
import { join } from 'node:path';

import { root } from './typescript.mjs';

function run(program, args) {
  const { status, error } = spawnSync(program, args, { cwd: root, stdio: 'inherit' });
  if (error) throw error;
  if (status !== 0) process.exit(status ?? 1);
}

const build = join('build', 'cpu');
if (!existsSync(join(root, build, 'CMakeCache.txt'))) run(process.execPath, [join('scripts', 'setup.mjs')]);
run('cmake', ['--build', build, '--parallel', '--target', 'eam_torch', 'eam_loader']);
const tests = process.argv.slice(2);
if (tests.length > 0) run(process.execPath, [join('node_modules', 'vitest', 'vitest.mjs'), 'run', ...tests]);
