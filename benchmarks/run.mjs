// Every benchmark in one run:
//   npm run bench [-- --quick] [--only kernels,calls,iteration,trainer,compile,setup,quickstart] [--output FILE.csv]
//
// Writes results/<date>-<machine>.csv beside this file and prints the same as Markdown. --quick takes seconds, shows
// that everything runs and says nothing about speed. docs/performance.md explains the columns and the bars.

import { execFileSync, spawnSync } from 'node:child_process';
import { mkdirSync, mkdtempSync, rmSync, utimesSync, writeFileSync } from 'node:fs';
import { availableParallelism, tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { parseArgs } from 'node:util';

import { quickstartRows } from './quickstart.mjs';
import { describeMachine, parseRows, rowOf, toCsv, toMarkdown } from './results.mjs';

const here = import.meta.dirname;
const { values: flags } = parseArgs({
  options: { quick: { type: 'boolean', default: false }, only: { type: 'string' }, output: { type: 'string' } },
});
const wanted = (
  flags.only ?? (flags.quick ? 'kernels,calls,iteration,trainer' : 'kernels,calls,iteration,trainer,compile')
).split(',');
const say = (line) => console.error(`bench: ${line}`);
const { withLock } = await import('../dist/jobs/lock.js').catch(() => ({}));
const { inspect } = await import('../dist/runtime/native/loader.js').catch(() => {
  say('dist/ is missing; run `npm run setup` first');
  process.exit(1);
});
const { loaded, error } = inspect();
if (!loaded) {
  say(error);
  process.exit(1);
}

// Waiting threads sleep: spinning ones would take the processor from the other program of a comparison.
const environment = {
  ...process.env,
  LD_LIBRARY_PATH: join(loaded.libtorch.directory, 'lib'),
  OMP_WAIT_POLICY: 'passive',
};
const threadCounts = availableParallelism() > 1 ? [1, 2] : [1];

function run(program, args) {
  const result = spawnSync(program, args.map(String), { encoding: 'utf8', env: environment, maxBuffer: 2 ** 28 });
  if (result.status !== 0) throw new Error(`${program} ${args.join(' ')}: ${result.error?.message ?? result.stderr}`);
  return result.stdout;
}

const jsonLines = (text) =>
  text
    .trim()
    .split('\n')
    .map((line) => JSON.parse(line));

/** The bench programs, compiled into the addon's build folder, whose objects they link. */
async function build(...names) {
  const options = { encoding: 'utf8', stdio: 'pipe', maxBuffer: 2 ** 28 };
  await withLock(`${loaded.addon.directory}.lock`, say, async () => {
    execFileSync('cmake', ['-DEAM_BUILD_CHECKS=ON', loaded.addon.directory], options);
    execFileSync('cmake', ['--build', loaded.addon.directory, '--target', ...names], options);
  });
  return names.map((name) => join(loaded.addon.directory, name));
}

/** A Python that has torch: EAM_BENCH_PYTHON, or python3. */
function findPython() {
  const python = process.env.EAM_BENCH_PYTHON ?? 'python3';
  const probe = spawnSync(python, ['-c', 'import torch; print(torch.__version__)'], { encoding: 'utf8' });
  if (probe.status === 0) return { python, version: probe.stdout.trim() };
  say(`no comparison with PyTorch: ${python} has no torch (set EAM_BENCH_PYTHON to a Python that has one)`);
  return undefined;
}

function callRows() {
  const text = run(process.execPath, [join(here, 'call-overhead.mjs'), 2000, flags.quick ? 2 : 200]);
  const lines = text
    .trim()
    .split('\n')
    .filter((line) => line.startsWith('"'));
  return lines.map((line) => {
    const [, name, p20, p50, p80] = /^"([^"]*)",([\d.]+),([\d.]+),([\d.]+)$/.exec(line);
    return {
      section: 'calls',
      name: name.replaceAll(',', ';'),
      variant: 'ours',
      dtype: 'float32',
      elements: 2000,
      threads: threadCounts.at(-1),
      repeats: flags.quick ? 40 : 4000,
      unit: 'us',
      p20: Number(p20),
      p50: Number(p50),
      p80: Number(p80),
    };
  });
}

/** Model, batch, iterations of a process, rounds, rounds in turns with the baseline. */
const iterations = flags.quick
  ? [{ model: 'tiny', batch: 4, count: 2, rounds: 1 }]
  : [
      { model: 'digits', batch: 32, count: 4, rounds: 5 },
      { model: 'transformer', batch: 4, count: 2, rounds: 2 },
    ];

function iterationRows(program, python, { model, batch, count, rounds }, threads) {
  const folder = mkdtempSync(join(tmpdir(), 'eam-bench-'));
  const weights = join(folder, 'weights.safetensors');
  const ours = [],
    theirs = [],
    peaks = { ours: [], pytorch: [] };
  let sizes;
  try {
    run(program, [model, threads, 0, batch, 0, weights]);
    for (let round = 0; round < rounds; ++round) {
      const [first, ...lines] = jsonLines(run(program, [model, threads, count, batch, 0]));
      sizes = first;
      peaks.ours.push(lines.pop().peakBytes);
      ours.push(...lines);
      if (!python) continue;
      const baseline = jsonLines(
        run(python.python, [join(here, 'pytorch_baseline.py'), 'iteration', model, threads, count, batch, weights]),
      );
      peaks.pytorch.push(baseline.pop().peakBytes);
      theirs.push(...baseline.filter((line) => 'total' in line).map((line) => line.total));
    }
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
  const of = (name, variant, unit, values) =>
    rowOf(
      {
        section: 'iteration',
        name: `${model} ${name}`,
        variant,
        dtype: 'float32',
        elements: sizes.elements,
        threads,
        unit,
      },
      values,
    );
  const rows = [
    of(
      'iteration',
      'ours',
      's',
      ours.map((times) => times.total),
    ),
  ];
  if (theirs.length) rows.push(of('iteration', 'pytorch', 's', theirs));
  rows.push(
    of(
      'peak memory',
      'ours',
      'MB',
      peaks.ours.map((bytes) => bytes / 1e6),
    ),
  );
  if (theirs.length)
    rows.push(
      of(
        'peak memory',
        'pytorch',
        'MB',
        peaks.pytorch.map((bytes) => bytes / 1e6),
      ),
    );
  const outside = ({ total, forward, backward, reward }) => total - forward - backward - reward;
  const parts = {
    forward: (times) => times.forward,
    backward: (times) => times.backward,
    reward: (times) => times.reward,
    kernels: (times) => times.kernels,
    optimizer: (times) => times.optimizer,
    glue: (times) => outside(times) - times.kernels - times.optimizer,
    'outside the network': outside,
  };
  for (const [part, seconds] of Object.entries(parts)) {
    rows.push(
      of(
        'share of the time',
        part,
        'share',
        ours.map((times) => seconds(times) / times.total),
      ),
    );
  }
  return rows;
}

/** Steps of the whole trainer, from Node, on the digits: what of their time passes outside of native stages. */
async function trainerRows(threads) {
  const { eam, loadModel, strokeWeight, Trainer } = await import('eam-torch');
  const { binding } = await import('../dist/runtime/native/index.js');
  const [batch, steps] = flags.quick ? [2, 2] : [32, 12];
  const model = await loadModel('digits', { adapter: { rank: 8, alpha: 16 } });
  const trainer = new Trainer({
    model,
    reward: strokeWeight(),
    prompts: [...'0123456789'],
    algorithm: eam(),
    optimizer: { learningRate: 1e-4, emaDecay: 0.99 },
    batch,
  });
  await binding().setThreads(threads);
  await binding().timeStages('cpu');
  const measured = [];
  for await (const { seconds } of trainer.run({ steps: steps + 1 }))
    measured.push({ seconds, ...(await binding().stageSeconds()) });
  model.dispose();
  const counted = measured.slice(1); // the first one makes the optimizer's state
  const of = (name, variant, unit, values) =>
    rowOf({ section: 'trainer', name, variant, dtype: 'float32', elements: batch * 64, threads, unit }, values);
  const native = ({ seconds: _, ...stages }) => Object.values(stages).reduce((sum, part) => sum + part, 0);
  return [
    of(
      'digits step',
      'ours',
      's',
      counted.map(({ seconds }) => seconds),
    ),
    of(
      'digits share of the time',
      'optimizer',
      'share',
      counted.map(({ seconds, update }) => update / seconds),
    ),
    of(
      'digits share of the time',
      'TypeScript and reward',
      'share',
      counted.map((times) => 1 - native(times) / times.seconds),
    ),
  ];
}

/** The matching step in PyTorch, eager and compiled; ours is in the kernels section. */
function compileRows(python, threads) {
  const elements = flags.quick ? 80000 : 8 * 262144;
  const rows = [];
  const output = run(python.python, [
    join(here, 'pytorch_baseline.py'),
    'step',
    threads,
    flags.quick ? 0.2 : 8,
    elements,
  ]);
  for (const line of jsonLines(output)) {
    if (line.skipped) say(`left out: ${line.skipped}`);
    else
      rows.push(
        rowOf(
          {
            section: 'compile',
            name: 'matching step',
            variant: line.variant,
            dtype: 'float32',
            elements,
            threads,
            unit: 'us',
          },
          line.seconds.map((seconds) => 1e6 * seconds),
        ),
      );
  }
  return rows;
}

/** Runs a command; the seconds that it and its children took, on the clock and of the processors (user and system). */
function timed(command, args, env = {}) {
  const started = performance.now();
  const result = spawnSync('sh', ['-c', '"$@" >&2 && times', 'timed', command, ...args], {
    encoding: 'utf8',
    stdio: ['ignore', 'pipe', 'pipe'],
    env: { ...process.env, ...env },
    maxBuffer: 2 ** 28,
  });
  if (result.status !== 0) throw new Error(`${command} ${args.join(' ')}: ${result.stderr}`);
  // The second line of `times` is what the children took: 1m2.345s 0m6.789s.
  const parts = result.stdout.trim().split('\n').at(-1).split(/\s+/);
  const processor = parts.map((part) => /(\d+)m([\d.]+)s/.exec(part)).reduce((sum, [, m, s]) => sum + 60 * m + +s, 0);
  return { wall: (performance.now() - started) / 1000, processor };
}

/** The native build from nothing, without a compiler's cache, and the one after a file of native/nn has changed. */
function setupRows() {
  const folder = mkdtempSync(join(tmpdir(), 'eam-bench-build-'));
  const changed = join(here, '..', 'native', 'nn', 'sd3', 'sd3_block.cpp');
  const module = new URL('../dist/jobs/build/native-build.js', import.meta.url);
  const cold = `import { buildNative } from ${JSON.stringify(module)};
    await buildNative(${JSON.stringify({ variant: 'cpu', output: folder, libtorch: loaded.libtorch.directory }).replace(
      /}$/,
      ', report: console.log })',
    )};`;
  try {
    const uncached = { CCACHE_DISABLE: '1' };
    const builds = [['native CPU build', timed(process.execPath, ['--input-type=module', '-e', cold], uncached)]];
    const now = new Date();
    utimesSync(changed, now, now);
    builds.push(['a changed file of native/nn to a new addon', timed('cmake', ['--build', folder], uncached)]);
    return builds.flatMap(([name, seconds]) =>
      ['processor', 'wall'].map((variant) =>
        rowOf({ section: 'setup', name, variant, dtype: '', elements: 0, threads: threadCounts.at(-1), unit: 's' }, [
          seconds[variant],
        ]),
      ),
    );
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}

const python = wanted.some((section) => ['iteration', 'compile'].includes(section)) ? findPython() : undefined;
const rows = [];
if (wanted.includes('setup')) {
  say('the native build, from nothing');
  rows.push(...setupRows());
}
if (wanted.includes('quickstart')) {
  say("the quickstart's job");
  rows.push(...quickstartRows());
}
const programs = wanted.some((section) => ['kernels', 'iteration'].includes(section));
if (programs) say('compiling the bench programs');
const [kernels, iteration] = programs ? await build('bench_kernels', 'bench_iteration') : [];
if (wanted.includes('kernels')) {
  say('kernels');
  rows.push(...parseRows(run(kernels, flags.quick ? ['--quick'] : [])));
}
if (wanted.includes('calls')) {
  say('calls from TypeScript');
  rows.push(...callRows());
}
if (wanted.includes('compile') && python) {
  for (const threads of threadCounts) {
    say(`the matching step in PyTorch ${python.version}, ${threads} threads`);
    rows.push(...compileRows(python, threads));
  }
}
if (wanted.includes('trainer')) {
  for (const threads of threadCounts) {
    say(`the trainer, ${threads} threads`);
    rows.push(...(await trainerRows(threads)));
  }
}
if (wanted.includes('iteration')) {
  for (const problem of iterations) {
    for (const threads of threadCounts) {
      say(`iteration of ${problem.model}, ${threads} threads`);
      rows.push(...iterationRows(iteration, python, problem, threads));
    }
  }
}

const where = describeMachine(loaded.libtorch.version);
const slug = where.machine.toLowerCase().replace(/[^a-z0-9]+/g, '-');
const output = flags.output ?? join(here, 'results', `${where.date}-${slug}.csv`);
if (flags.output || !flags.quick) {
  mkdirSync(dirname(output), { recursive: true });
  writeFileSync(output, toCsv(rows, where));
  say(`wrote ${output}`);
}
console.log(toMarkdown(rows));
