// clang-format, of the version that package-lock.json pins, on all of native/: a check, or with --write the formatting.

import { spawnSync } from 'node:child_process';
import { chmodSync } from 'node:fs';

import { clangFormatPath } from 'clang-format-node';

import { root, sourceFiles } from './source-files.mjs';

// The package makes it executable in a script of its own, and set-up installs without scripts.
chmodSync(clangFormatPath, 0o755);
const files = sourceFiles().filter((path) => /^native\/.*\.(?:c|cpp|cu|h|cuh|inc)$/.test(path));
const mode = process.argv.includes('--write') ? ['-i'] : ['--dry-run', '-Werror'];
const { status, error } = spawnSync(clangFormatPath, [...mode, ...files], { cwd: root, stdio: 'inherit' });
if (error) throw error;
process.exitCode = status ?? 1;
