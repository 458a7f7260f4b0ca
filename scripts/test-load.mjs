// The tests on a machine that is slow, busy, small or allocates otherwise. Nothing in them may depend on it.
//
//     npm run test:load -- [--rounds 10] [--only busy,one-core] [files and other arguments of vitest]
//
// Each round is under the next of the conditions. Needs stress-ng, taskset, prlimit and, for the allocators, their
// libraries (Debian: stress-ng util-linux libjemalloc2 libtcmalloc-minimal4); a condition that cannot be had is named
// and ends the command with 1, as a failure does. 4 GB are for all processes together where a control group can be
// made, and else for each: the round says which.
import { spawn, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { availableParallelism } from 'node:os';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';

import { memoryLimit } from './dev/memory-limit.mjs';

const root = new URL('..', import.meta.url);
const allocator = (name) => {
  const listed = spawnSync('/sbin/ldconfig', ['-p'], { encoding: 'utf8' }).stdout ?? '';
  const path = listed
    .split('\n')
    .find((line) => line.includes(name) && line.includes('x86-64') === (process.arch === 'x64'));
  return path ? { env: { LD_PRELOAD: path.split('=> ')[1] } } : { missing: name };
};
const exists = (command) => !spawnSync(command, ['--version'], { stdio: 'ignore' }).error;
const withCommand = (command, condition) => (exists(command) ? condition : { missing: command });

const cores = String(availableParallelism());
/** What a round's command is prefixed with, what runs beside it, what is in its environment, and what it limits. */
const conditions = {
  busy: () =>
    withCommand('stress-ng', { beside: ['stress-ng', '--quiet', '--cpu', cores, '--vm', '1', '--vm-bytes', '512M'] }),
  'one-core': () => withCommand('taskset', { prefix: ['taskset', '-c', '0'] }),
  '4-GB': () => memoryLimit(4 * 2 ** 30) ?? { missing: 'prlimit' },
  jemalloc: () => allocator('libjemalloc.so.2'),
  tcmalloc: () => allocator('libtcmalloc_minimal.so.4'),
};

const { values: flags, positionals } = parseArgs({
  options: { rounds: { type: 'string', default: '10' }, only: { type: 'string' } },
  allowPositionals: true,
});
const names = flags.only?.split(',') ?? Object.keys(conditions);
for (const name of names) {
  if (conditions[name]) continue;
  console.error(`test:load: there is no condition '${name}', expected ${Object.keys(conditions).join(', ')}`);
  process.exit(2);
}

const vitest = fileURLToPath(new URL('node_modules/vitest/vitest.mjs', root));
const results = [];
for (let round = 0; round < Number(flags.rounds); ++round) {
  const condition = names[round % names.length];
  const { missing, prefix = [], beside, env, limits, remove } = conditions[condition]();
  const name = limits === undefined ? condition : `${condition} for ${limits}`;
  const say = (result) => {
    results.push({ round: round + 1, name, result });
    console.log(`test:load: round ${round + 1}, ${name}: ${result}`);
  };
  if (missing) {
    say(`${missing} is not there`);
    continue;
  }
  const other = beside && spawn(beside[0], beside.slice(1), { stdio: 'inherit' });
  const [command, ...rest] = [...prefix, process.execPath, vitest, 'run', ...positionals];
  const tests = spawn(command, rest, { cwd: root, stdio: 'inherit', env: { ...process.env, ...env } });
  const [code, signal] = await once(tests, 'exit');
  remove?.();
  if (other) {
    const ended = once(other, 'exit');
    other.kill();
    await ended;
  }
  say(code === 0 ? 'passed' : `failed, ${signal ?? `exit code ${code}`}`);
}
for (const { round, name, result } of results)
  console.log(`${String(round).padStart(4)}  ${name.padEnd(31)}  ${result}`);
process.exitCode = results.every(({ result }) => result === 'passed') ? 0 : 1;
