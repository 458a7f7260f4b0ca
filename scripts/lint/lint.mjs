// Every check that needs no compiler: `npm run lint`. The checks run side by side, as many as there are processors; the
// output of those that find something is shown, and the exit code is 1.

import { spawn } from 'node:child_process';
import { mkdirSync } from 'node:fs';
import { availableParallelism } from 'node:os';
import { join } from 'node:path';

import { root } from './source-files.mjs';

const bin = (name) => join(root, 'node_modules', '.bin', name);
const script = (name) => [process.execPath, join(import.meta.dirname, name)];
/** `tsc` on one project; what it found out is kept in build/, for the next time. */
const typescript = (project, name, ...more) => [
  bin('tsc'),
  ...['-p', project, '--noEmit', '--incremental', '--tsBuildInfoFile', `build/lint/${name}.tsbuildinfo`, ...more],
];

// The slowest first, so that it does not wait for a processor at the end.
const checks = [
  { name: 'types of lib and its tests', command: typescript('test', 'test'), mend: 'mend what tsc says' },
  { name: 'formatting, C++ and CUDA', command: script('clang-format.mjs'), mend: 'npm run format' },
  {
    name: 'formatting and lint, Biome',
    command: [bin('biome'), 'check', '--error-on-warnings', '.'],
    mend: 'npm run format',
  },
  { name: 'unused code, knip', command: [bin('knip'), '--no-progress'], mend: 'remove what knip lists' },
  { name: 'line lengths', command: script('line-length.mjs'), mend: 'wrap the lines' },
];

function run({ name, command: [program, ...args], mend }) {
  const started = performance.now();
  return new Promise((resolve) => {
    const child = spawn(program, args, { cwd: root, stdio: ['ignore', 'pipe', 'pipe'] });
    let output = '';
    for (const stream of [child.stdout, child.stderr]) {
      stream.setEncoding('utf8').on('data', (text) => {
        output += text;
      });
    }
    child.on('error', (error) => {
      output += error.message;
    });
    child.on('close', (code) => {
      const seconds = ((performance.now() - started) / 1000).toFixed(1);
      if (code === 0) console.log(`ok      ${name} (${seconds} s)`);
      else console.log(`FAILED  ${name} (${seconds} s; ${mend}):\n${output.trimEnd()}\n`);
      resolve(code === 0);
    });
  });
}

mkdirSync(join(root, 'build', 'lint'), { recursive: true });
const waiting = [...checks];
let failed = 0;
async function worker() {
  for (let check = waiting.shift(); check; check = waiting.shift()) if (!(await run(check))) ++failed;
}
await Promise.all(Array.from({ length: availableParallelism() }, worker));
if (failed) process.exitCode = 1;
