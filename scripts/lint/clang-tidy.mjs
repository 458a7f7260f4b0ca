// `npm run lint:native`: clang-tidy, with the checks of .clang-tidy, on every C++ file of native/, or on those named.
// clang reads what CMake would have it compile; nothing is compiled. All files are read in the groups that the build
// compiles them in, which reads LibTorch's headers once a group; named ones each by itself.

import { spawn, spawnSync } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { availableParallelism } from 'node:os';
import { join, relative, resolve } from 'node:path';

import { root } from './source-files.mjs';

const build = join(root, 'build', 'lint', 'native');

const named = process.argv.slice(2).map((path) => relative(root, resolve(path)));

/** A program of LLVM's, whose name may end in a version; the newest that is there. */
function find(name) {
  const names = [name, ...Array.from({ length: 20 }, (_, i) => `${name}-${30 - i}`)];
  const found = names.find((one) => spawnSync(one, ['--version']).status === 0);
  if (found) return found;
  console.error(`${name}: not found; apt-get install -y clang clang-tidy`);
  process.exit(1);
}

function configure() {
  const { configuration } = JSON.parse(readFileSync(join(root, 'build', 'cpu', 'eam_build.json'), 'utf8'));
  const settings = {
    CMAKE_C_COMPILER: find('clang'),
    CMAKE_CXX_COMPILER: find('clang++'),
    CMAKE_EXPORT_COMPILE_COMMANDS: 'ON',
    EAM_TOGETHER: named.length === 0 ? 'ON' : 'OFF',
    CMAKE_DISABLE_PRECOMPILE_HEADERS: 'ON',
    EAM_LIBTORCH: configuration.libtorch,
    EAM_BUILD_CHECKS: 'ON',
  };
  const defines = Object.entries(settings).map(([name, value]) => `-D${name}=${value}`);
  const { status } = spawnSync('cmake', ['-S', root, '-B', build, ...defines], {
    stdio: ['ignore', 'ignore', 'inherit'],
  });
  if (status !== 0) process.exit(status ?? 1);
  const commands = JSON.parse(readFileSync(join(build, 'compile_commands.json'), 'utf8'));
  return commands.map(({ file }) => relative(root, file)).filter((file) => /\.(cpp|cxx)$/.test(file));
}

function check(tidy, file) {
  return new Promise((done) => {
    // A group is a file that includes the others.
    const checks = file.endsWith('.cxx') ? ['--checks=-bugprone-suspicious-include'] : [];
    const args = ['-p', build, '--quiet', ...checks, file];
    const child = spawn(tidy, args, { cwd: root, stdio: ['ignore', 'pipe', 'ignore'] });
    let output = '';
    child.stdout.setEncoding('utf8').on('data', (text) => {
      output += text;
    });
    child.on('close', (code) => {
      if (code !== 0) console.log(output.trimEnd() || `${file}: clang-tidy ended with ${code}`);
      done(code === 0);
    });
  });
}

const tidy = find('clang-tidy');
const waiting = [...new Set(configure())].filter((file) => named.length === 0 || named.includes(file));
const count = waiting.length;
let clean = 0;
async function worker() {
  for (let file = waiting.shift(); file; file = waiting.shift()) if (await check(tidy, file)) ++clean;
}
await Promise.all(Array.from({ length: availableParallelism() }, worker));
console.log(`clang-tidy: ${clean} of ${count} ${named.length === 0 ? 'groups and files' : 'files'} without a finding`);
if (clean !== count || count === 0) process.exitCode = 1;
