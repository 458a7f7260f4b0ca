// Everything that wants a GPU, in one command, with a verdict:
//   npm run gpu [-- --output FOLDER] [--programs FOLDER] [--without sanitizer,sd3]
//
// Compiles the CUDA variant, then: the kernels against the CPU (check_ops), tensors of more than 2^32 elements and the
// second pass of grid-stride loops (check_cuda_sizes), CUDA graphs (check_cuda_graph), the first and the last under
// compute-sanitizer, the bandwidth of every kernel against a device copy's (bench_cuda) and an iteration on Stable
// Diffusion 3.5 Medium's shape (sd3.mjs). Writes <date>-<GPU>-cuda.csv and -cuda-sd3.csv into results/ beside this
// file, or into --output. Exits with 1 where numbers differ, a sanitizer finds something or a kernel misses the bar,
// with 3 where that is not so and a program crashed; what cannot be run here is left out, and said to be. --programs
// takes check programs that are compiled already. Without Node: docs/performance.md, "CUDA".

import { execFileSync, spawnSync } from 'node:child_process';
import { existsSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { constants } from 'node:os';
import { delimiter, join, resolve } from 'node:path';
import { parseArgs } from 'node:util';

import { describeMachine, parseRows, toCsv } from './results.mjs';

const { values: flags } = parseArgs({
  options: {
    output: { type: 'string', default: join(import.meta.dirname, 'results') },
    programs: { type: 'string' },
    without: { type: 'string', default: '' },
  },
});
const leftOut = new Set(flags.without.split(',').filter(Boolean));
const say = (line) => console.error(`gpu: ${line}`);
const refuse = (line) => {
  say(line);
  process.exit(1);
};
for (const name of leftOut)
  if (!['sanitizer', 'sd3'].includes(name)) refuse(`--without ${name}: expected sanitizer, sd3 or both`);

function requireGpu() {
  const hidden = process.env.CUDA_VISIBLE_DEVICES;
  if (hidden === '' || hidden === '-1') refuse(`CUDA_VISIBLE_DEVICES is '${hidden}', which hides every GPU; unset it`);
  const { status, stdout, error } = spawnSync('nvidia-smi', ['-L'], { encoding: 'utf8' });
  if (status === 0 && stdout.includes('GPU')) return;
  const why = error ? 'nvidia-smi, which comes with its driver, is not on PATH' : 'nvidia-smi finds none';
  refuse(
    `there is no NVIDIA GPU here: ${why}. Nothing was checked or measured; run it on a machine that has one. ` +
      '`npm run test:cuda` compiles the CUDA variant and `node benchmarks/cuda-resources.mjs` looks at its code ' +
      'without one.',
  );
}

/** A program on PATH or in a toolkit's folder. */
function find(name) {
  const toolkits = [process.env.CUDA_HOME, process.env.CUDA_PATH].filter(Boolean).map((folder) => join(folder, 'bin'));
  return [...(process.env.PATH ?? '').split(delimiter), ...toolkits]
    .map((folder) => join(folder, name))
    .find((path) => existsSync(path));
}

/** Compiles addon and check programs. They name LibTorch's folders themselves and need no LD_LIBRARY_PATH. */
async function build() {
  const { buildNative } = await import('../dist/jobs/build/native-build.js');
  try {
    const { directory, libtorch } = await buildNative({ variant: 'cuda', report: say });
    say('compiling the check programs');
    const options = { stdio: ['ignore', 'ignore', 'inherit'] };
    execFileSync('cmake', ['-DEAM_BUILD_CHECKS=ON', directory], options);
    execFileSync('cmake', ['--build', directory, '--parallel', '--target', ...programs], options);
    return { directory, libtorch };
  } catch (error) {
    return refuse(error.message);
  }
}

const programs = ['check_ops', 'check_cuda_sizes', 'check_cuda_graph', 'bench_cuda'];
const results = [];
const record = (name, state, note = '') => {
  results.push({ name, state, note });
  say(`${name}: ${state}${note && `, ${note}`}`);
};

/** The signal that ended a program, itself or as the exit code of a shell or a sanitizer; undefined where none did. */
function signalOf({ status, signal }) {
  if (signal) return signal;
  const number = status > 128 ? status - 128 : undefined;
  return Object.entries(constants.signals).find(([, value]) => value === number)?.[0];
}

/**
 * Runs a program with its output shown. A program that skips its checks has not passed them. What the checks said
 * counts before how the process ended: one that crashes after its verdict has CRASHED where the verdict is good, and
 * FAILED where it is not; one that crashes without a verdict has CRASHED.
 */
function check(name, command, args, env = {}) {
  say(`${name} ...`);
  const { status, stdout, error, signal } = spawnSync(command, args, {
    encoding: 'utf8',
    stdio: ['ignore', 'pipe', 'inherit'],
    env: { ...process.env, ...env },
    maxBuffer: 2 ** 28,
  });
  if (stdout) console.log(stdout.trimEnd());
  const crash = signalOf({ status, signal });
  const mismatch = /^.*\bMISMATCH\b.*$|^\d+ mismatches$|^failed: .*$/m.exec(stdout ?? '')?.[0].trim();
  if (error) record(name, 'FAILED', error.message);
  else if (mismatch) record(name, 'FAILED', crash ? `${mismatch}; it crashed after that (${crash})` : mismatch);
  else if (crash && /^all checks passed$/m.test(stdout))
    record(name, 'CRASHED', `all its checks passed; it crashed at its end (${crash})`);
  else if (crash) record(name, 'CRASHED', `${crash}, before its checks were done`);
  else if (status !== 0) record(name, 'FAILED', `exit code ${status}`);
  else if (/skipped/.test(stdout)) record(name, 'FAILED', 'it found no device');
  else record(name, 'ok', /left out/.test(stdout) ? 'some sizes left out for want of memory' : '');
}

function sanitize(directory) {
  const sanitizer = find('compute-sanitizer');
  for (const program of ['check_ops', 'check_cuda_graph']) {
    for (const tool of ['memcheck', 'racecheck']) {
      const name = `${program} under ${tool}`;
      if (leftOut.has('sanitizer')) record(name, 'left out', 'by --without');
      else if (!sanitizer) record(name, 'left out', 'compute-sanitizer is neither on PATH nor in CUDA_HOME/bin');
      // An allocator that caches would hide what is read past the end of a tensor. LibTorch asks CUDA things that it
      // refuses.
      else
        check(
          name,
          sanitizer,
          ['--tool', tool, '--error-exitcode', '9', '--report-api-errors', 'no', join(directory, program)],
          { PYTORCH_NO_CUDA_MEMORY_CACHING: '1' },
        );
    }
  }
}

function describeBuild(directory) {
  const description = join(directory, 'eam_torch.json');
  const { libtorch = 'unknown' } = existsSync(description) ? JSON.parse(readFileSync(description, 'utf8')) : {};
  return describeMachine(libtorch, 'cuda');
}

function outputFile(where, suffix) {
  mkdirSync(flags.output, { recursive: true });
  const machine = where.machine
    .toLowerCase()
    .replace(/[^a-z0-9]+/g, '-')
    .replace(/^-|-$/g, '');
  return join(flags.output, `${where.date}-${machine}-${suffix}.csv`);
}

/** The program judges itself, by the bar that it prints. */
function measure(directory, where) {
  say('bandwidth against a device copy ...');
  const { status, stdout, stderr, error, signal } = spawnSync(join(directory, 'bench_cuda'), {
    encoding: 'utf8',
    stdio: ['ignore', 'pipe', 'pipe'],
  });
  if (stderr) process.stderr.write(stderr);
  const crash = signalOf({ status, signal });
  const missed = /^\d+ kernels are below .*$/m.test(stderr ?? '');
  const judged = missed || /^every kernel reaches .*$/m.test(stderr ?? '');
  let rows = [];
  try {
    rows = parseRows(stdout ?? '');
  } catch (problem) {
    if (crash) return record('bandwidth', 'CRASHED', `${crash}, before its verdict`);
    return record('bandwidth', 'FAILED', error?.message ?? `exit code ${status ?? signal}, ${problem.message}`);
  }
  const file = outputFile(where, 'cuda');
  writeFileSync(file, toCsv(rows, where));
  const shares = rows.filter(({ variant }) => variant === 'of the copy').map(({ p50 }) => p50);
  const least =
    `the least of ${shares.length} kernels moves ${(100 * Math.min(...shares)).toFixed(1)} % of a copy's ` +
    `bandwidth; ${file}`;
  if (crash && !missed)
    return record('bandwidth', 'CRASHED', `${crash}, ${judged ? 'at its end' : 'before its verdict'}; ${least}`);
  return record('bandwidth', status === 0 && shares.length > 0 ? 'ok' : 'FAILED', least);
}

function measureIteration(directory, libtorch, where) {
  const name = "an iteration on Stable Diffusion 3.5 Medium's shape";
  if (leftOut.has('sd3')) return record(name, 'left out', 'by --without');
  if (!existsSync(join(directory, 'eam_torch.node')))
    return record(name, 'left out', `there is no addon in ${directory}`);
  say(`${name} ...`);
  const file = outputFile(where, 'cuda-sd3');
  const env = {
    ...process.env,
    EAM_TORCH_VARIANT: 'cuda',
    EAM_TORCH_BUILD_DIR: directory,
    ...(libtorch && { EAM_TORCH_LIBTORCH: libtorch }),
  };
  const { status, signal } = spawnSync(
    process.execPath,
    [join(import.meta.dirname, 'sd3.mjs'), '--device', 'cuda', '--size', 'full', '--output', file],
    { stdio: 'inherit', env },
  );
  if (status === 3) return record(name, 'left out', 'the GPU has too little memory free');
  const crash = signalOf({ status, signal });
  if (crash) return record(name, 'CRASHED', crash);
  return status === 0 ? record(name, 'ok', file) : record(name, 'FAILED', `exit code ${status}`);
}

requireGpu();
const { directory, libtorch } = flags.programs ? { directory: resolve(flags.programs) } : await build();
const where = describeBuild(directory);
for (const [name, program] of [
  ['parity with the CPU', 'check_ops'],
  ['large tensors', 'check_cuda_sizes'],
  ['CUDA graphs', 'check_cuda_graph'],
]) {
  check(name, join(directory, program), []);
}
sanitize(directory);
measure(directory, where);
measureIteration(directory, libtorch, where);

const width = Math.max(...results.map(({ name }) => name.length));
console.log(`\n${where.machine}, revision ${where.revision}, LibTorch ${where.libtorch}`);
for (const { name, state, note } of results) console.log(`${name.padEnd(width)}  ${state}${note && `: ${note}`}`);
const named = (wanted) => results.filter(({ state }) => state === wanted).map(({ name }) => name);
const [failed, crashed, missing] = ['FAILED', 'CRASHED', 'left out'].map(named);
const verdict = [
  ...(failed.length ? [`FAILED (${failed.join(', ')})`] : []),
  ...(crashed.length ? [`CRASHED (${crashed.join(', ')})`] : []),
  ...(failed.length || crashed.length ? [] : ['passed']),
  ...(missing.length ? [`${missing.length} left out`] : []),
];
console.log(`\nverdict: ${verdict.join('; ')}`);
process.exitCode = failed.length ? 1 : crashed.length ? 3 : 0;
