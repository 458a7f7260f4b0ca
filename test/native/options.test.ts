// The tables of options without Node: a program with a struct of every kind of option.
import { spawnSync } from 'node:child_process';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';

import { afterAll, expect, it } from 'vitest';

const root = fileURLToPath(new URL('../..', import.meta.url));
const folder = mkdtempSync(join(tmpdir(), 'eam-options-'));
afterAll(() => rmSync(folder, { recursive: true, force: true }));

it('check_options finds no mismatch', () => {
  const program = join(folder, 'check_options');
  const sources = ['native/test/check_options.cpp', 'native/ops/options.cpp', 'native/ops/error.cpp'];
  const compiler = process.env['CXX'] ?? 'c++';
  const compiled = spawnSync(compiler, ['-std=c++20', '-Wall', '-Wextra', '-Inative', ...sources, '-o', program], {
    cwd: root,
    encoding: 'utf8',
  });
  expect({ status: compiled.status, said: compiled.stderr }).toEqual({ status: 0, said: '' });
  const { status, stdout } = spawnSync(program, { encoding: 'utf8' });
  expect({ status, stdout }).toEqual({ status: 0, stdout: 'all checks passed\n' });
});
