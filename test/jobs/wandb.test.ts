// Weights & Biases: what its own format holds of a run (where Python has wandb), and every way in which its process
// may fail a run that must not notice.
import { execFileSync, spawn, spawnSync } from 'node:child_process';
import { chmodSync, existsSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { basename, delimiter, join } from 'node:path';
import { fileURLToPath } from 'node:url';

import { afterEach, describe, expect, it, vi } from 'vitest';

import { ConfigError } from '../../lib/errors.js';
import { checkWandb, WandbLog } from '../../lib/jobs/logging/wandb.js';
import { eam } from '../helpers/command-line.js';
import { configFile, outputOf, program } from '../helpers/finetune-config.js';
import { temporaryFolder } from '../helpers/tiny-run.js';

afterEach(() => vi.unstubAllEnvs());

const bridge = fileURLToPath(new URL('../../assets/logging/wandb_bridge.py', import.meta.url));
const reader = fileURLToPath(new URL('../helpers/wandb-records.py', import.meta.url));

/** A process in the place of the bridge, which runs this. */
const script = (code: string) => [process.execPath, '-e', code, '--'];
/** When this process ends as it should, it writes all that it was sent into a file of the run's folder. */
const faithful = `
  let text = '';
  process.stdin.on('data', (data) => (text += data));
  process.stdin.on('end', () => require('fs').writeFileSync(JSON.parse(text.split('\\n')[0]).directory + '/got', text));
`;

/** A log with such a process, and its notes. */
function logWith(code: string, change: { patience?: number; room?: number } = {}) {
  const directory = temporaryFolder();
  const notes: string[] = [];
  const run = { directory, onNote: (line: string) => notes.push(line) };
  const log = new WandbLog(run, { command: script(code), patience: 600_000, room: 1 << 24, ...change });
  return { directory, notes, log };
}

const step = (log: WandbLog, number: number) => log.scalars(number, [['reward/mean', number]]);

describe('WandbLog', () => {
  it('hands on every message in its order, and says whether the run came to its end', async () => {
    const { directory, notes, log } = logWith(faithful);
    await log.config({ steps: 2 });
    await log.image(0, new Uint8Array(), join(directory, 'samples', 'step-0.png'));
    await step(log, 1);
    await log.summary(1, [['evaluation/after/reward/mean', 2]]);
    await log.close(true);
    const lines = readFileSync(join(directory, 'got'), 'utf8').trim().split('\n');
    expect(lines.map((line) => JSON.parse(line) as unknown)).toEqual([
      { directory, name: expect.stringMatching(/^eam-test-/), group: null },
      { kind: 'config', config: { steps: 2 } },
      { kind: 'image', step: 0, path: join(directory, 'samples', 'step-0.png') },
      { kind: 'scalars', step: 1, values: { 'reward/mean': 1 } },
      { kind: 'summary', values: { 'evaluation/after/reward/mean': 2 } },
      { kind: 'finish', code: 0 },
    ]);
    expect(notes).toEqual([]);
  });

  it.each([
    { fault: 'dies at once', code: 'process.exit(3)', said: /ended early \(exit code 3\)/ },
    { fault: 'is killed', code: "process.kill(process.pid, 'SIGKILL')", said: /ended early \(SIGKILL\)/ },
    {
      fault: 'dies after its first message',
      code: "process.stdin.once('data', () => process.exit(9))",
      said: /ended early \(exit code 9\)/,
    },
    {
      fault: 'fails at the end',
      code: "process.stdin.resume().on('end', () => process.exit(4))",
      said: /ended early \(exit code 4\)/,
    },
  ])('goes on with one note where its process $fault', async ({ code, said }) => {
    const { notes, log } = logWith(code);
    for (let number = 1; number <= 50; number++) await step(log, number);
    await log.close(true);
    await step(log, 51);
    expect(notes).toEqual([expect.stringMatching(said)]);
  });

  it('takes a process for lost that leaves before the run has ended, though it calls that well', async () => {
    const { notes, log } = logWith('process.exit(0)');
    await step(log, 1);
    while (notes.length === 0) await new Promise((resolve) => setTimeout(resolve, 5));
    await log.close(true);
    expect(notes).toEqual([expect.stringMatching(/ended early \(exit code 0\)/)]);
  });

  it('goes on with one note where there is no such program', async () => {
    const notes: string[] = [];
    const run = { directory: temporaryFolder(), onNote: (line: string) => notes.push(line) };
    const log = new WandbLog(run, { command: ['no-such-program-eam'], patience: 600_000, room: 1 << 20 });
    await step(log, 1);
    await log.close(true);
    expect(notes).toEqual([expect.stringMatching(/did not start \(spawn no-such-program-eam ENOENT\)/)]);
  });

  it('keeps no more than it has room for where its process reads nothing, and ends that', async () => {
    const { notes, log } = logWith('setInterval(() => {}, 1e6)', { room: 1 << 16 });
    // This is more than a pipe holds, and the process never reads any of it.
    for (let number = 1; number <= 2000; number++) await log.config({ text: 'x'.repeat(1024) });
    expect(notes).toEqual([expect.stringMatching(/does not read what it is sent; the run goes on without it/)]);
    await log.close(true);
    expect(notes).toHaveLength(1);
  });

  it('does not wait for ever where its process never ends, and says how to send the rest', async () => {
    const { directory, notes, log } = logWith('process.stdin.resume(); setInterval(() => {}, 1e6)', { patience: 1 });
    await step(log, 1);
    await log.close(true);
    expect(notes).toEqual([
      expect.stringMatching(/has not taken everything within 0\.001 s of the run's end; to send it: wandb sync/),
    ]);
    expect(notes[0]).toContain(join(directory, 'wandb', '*run-*'));
  });

  it('starts no process for a run that logs nothing', async () => {
    const { directory, notes, log } = logWith('process.exit(3)');
    await log.close(false);
    expect([notes, readdirSync(directory)]).toEqual([[], []]);
  });

  it('notes what its process says', async () => {
    const { notes, log } = logWith(`console.log('https://wandb.test/run'); ${faithful}`);
    await step(log, 1);
    await log.close(true);
    expect(notes).toEqual(['W&B: https://wandb.test/run']);
  });

  it('has its process in a session of its own, which no Ctrl-C reaches', async () => {
    const inSession = "require('child_process').execFileSync('ps', ['-o', 'sid=', '-p', String(process.pid)])";
    const { notes, log } = logWith(`console.log(Number(${inSession}) === process.pid); ${faithful}`);
    await step(log, 1);
    await log.close(true);
    expect(notes).toEqual(['W&B: true']);
  });
});

describe('checkWandb', () => {
  const problemWith = (command: readonly string[], patience = 600_000) =>
    checkWandb({ command, patience, room: 0 }).catch((error: unknown) => {
      expect(error).toBeInstanceOf(ConfigError);
      return (error as Error).message;
    });

  it('refuses a machine without Python, and says what to install', async () => {
    expect(await problemWith(['no-such-python'])).toBe(
      'logging: "wandb": expected no-such-python on PATH, which W&B\'s SDK is for, got none: install Python, then ' +
        'pip install wandb pillow',
    );
  });

  it('passes on what the bridge says is missing', async () => {
    const said = "console.log('expected wandb'); process.exit(1)";
    expect(await problemWith(script(said))).toBe('logging: "wandb": expected wandb');
  });

  it('lets a machine pass that does not answer in time', async () => {
    expect(await problemWith(script('setInterval(() => {}, 1e6)'), 1)).toBeUndefined();
  });

  /** Puts a folder at the head of PATH whose python3 runs this script instead. */
  function withPython(shell: string): void {
    const folder = temporaryFolder();
    writeFileSync(join(folder, 'python3'), `#!/bin/sh\n${shell}\n`);
    chmodSync(join(folder, 'python3'), 0o755);
    vi.stubEnv('PATH', `${folder}${delimiter}${process.env['PATH']}`);
  }

  it.each(['finetune', 'compare'] as const)('is asked by eam %s before anything is written', async (command) => {
    withPython('echo "expected wandb and pillow, got none: pip install wandb pillow"; exit 1');
    const config = configFile({ logging: ['wandb'], ...(command === 'compare' && contenders) });
    const { code, stderr } = await eam(command, config);
    expect([code, stderr]).toEqual([2, expect.stringContaining('pip install wandb pillow')]);
    expect(existsSync(outputOf(config))).toBe(false);
  });

  it('is followed by a process for each run of a comparison, which names their group', async () => {
    const bridge = join(temporaryFolder(), 'bridge.js');
    writeFileSync(bridge, faithful);
    withPython(`case "$*" in *--check*) exit 0;; esac; exec ${process.execPath} ${bridge}`);
    const config = configFile({ logging: ['wandb'], ...contenders, seeds: [1] });
    const { code, stderr } = await eam('compare', config);
    expect([code, stderr.match(/W&B:/g)]).toEqual([0, null]);
    for (const name of ['a-seed-1', 'b-seed-1']) {
      const lines = readFileSync(join(outputOf(config), 'runs', name, 'got'), 'utf8')
        .trim()
        .split('\n');
      expect(JSON.parse(lines[0]!)).toMatchObject({ name, group: basename(outputOf(config)) });
      expect(JSON.parse(lines.at(-1)!)).toEqual({ kind: 'finish', code: 0 });
    }
  });

  it('does not keep a run from its end whose W&B dies, hangs at the check or never reads', async () => {
    withPython('case "$*" in *--check*) exit 0;; esac; exit 7');
    const config = configFile({ logging: ['wandb'], steps: 2 });
    const { code, stderr } = await eam('finetune', config);
    expect([code, stderr.match(/W&B:/g)]).toEqual([0, ['W&B:']]);
    expect(
      readFileSync(join(outputOf(config), 'metrics.jsonl'), 'utf8')
        .trim()
        .split('\n'),
    ).toHaveLength(2);
  });
});

describe('Ctrl-C', () => {
  it('ends a run, and leaves its process of W&B to send the rest', async () => {
    const folder = temporaryFolder();
    writeFileSync(join(folder, 'bridge.js'), faithful);
    const python = `#!/bin/sh\ncase "$*" in *--check*) exit 0;; esac\nexec ${process.execPath} ${folder}/bridge.js\n`;
    writeFileSync(join(folder, 'python3'), python, { mode: 0o755 });
    const config = configFile({ logging: ['wandb'], steps: 100_000, checkpoints: { every: 50_000 } });
    const run = outputOf(config);
    const child = spawn(process.execPath, [program, 'finetune', config], {
      detached: true,
      env: { ...process.env, PATH: `${folder}${delimiter}${process.env['PATH']}` },
      stdio: 'ignore',
    });
    const ended = new Promise<number | null>((resolve) => child.once('exit', resolve));
    while (!existsSync(join(run, 'metrics.jsonl'))) await new Promise((resolve) => setTimeout(resolve, 20));
    // The signal goes to the whole group of processes, as a terminal sends it.
    process.kill(-child.pid!, 'SIGINT');
    expect(await ended).toBe(130);
    const sent = readFileSync(join(run, 'got'), 'utf8').trim().split('\n');
    const steps = readFileSync(join(run, 'metrics.jsonl'), 'utf8').trim().split('\n').length;
    const told = sent.map((line) => JSON.parse(line) as { kind: string; step?: number });
    // What the panel measured of the pretrained model is step 0.
    expect(told.filter(({ kind, step }) => kind === 'scalars' && step !== 0)).toHaveLength(steps);
    expect(told.at(-1)).toEqual({ kind: 'finish', code: 1 });
  });
});

const contenders = {
  algorithm: undefined,
  steps: undefined,
  checkpoints: undefined,
  optimizer: {},
  contenders: ['A', 'B'].map((name) => ({ name, learningRate: 1e-3, algorithm: { name: 'eam', lambda: 1 } })),
  budget: { steps: 1 },
  tracking: { points: 1, count: 2, steps: 1 },
  evaluation: { count: 2, steps: 1 },
};

/** A Python with wandb: `EAM_WANDB_PYTHON`, or the one on PATH, whose path is asked for: a test puts another there. */
const { status, stdout } = spawnSync(
  process.env['EAM_WANDB_PYTHON'] ?? 'python3',
  ['-c', 'import sys, wandb, PIL; print(sys.executable)'],
  { encoding: 'utf8' },
);
const hasWandb = status === 0;
const python = hasWandb ? stdout.trim() : '';

describe.runIf(hasWandb)('logging: ["wandb"], offline (wants a python3 with wandb and pillow)', () => {
  interface Logged {
    id: string;
    group: string;
    config: Record<string, unknown>;
    steps: { step: number; keys: string[] }[];
    summary: string[];
    exit: number;
  }
  /** The records that each process of a run has logged, as W&B's own protocol buffers read them. */
  const recordsOf = (run: string): Logged[] =>
    readdirSync(join(run, 'wandb'))
      .filter((name) => name.startsWith('offline-run-'))
      .sort()
      .map((name) => {
        const file = readdirSync(join(run, 'wandb', name)).find((each) => each.endsWith('.wandb'))!;
        const path = join(run, 'wandb', name, file);
        return JSON.parse(execFileSync(python, [reader, path], { encoding: 'utf8' })) as Logged;
      });
  const secret = 'k'.repeat(40);
  function offline(): void {
    const folder = temporaryFolder();
    writeFileSync(join(folder, 'python3'), `#!/bin/sh\nexec ${python} "$@"\n`);
    chmodSync(join(folder, 'python3'), 0o755);
    vi.stubEnv('PATH', `${folder}${delimiter}${process.env['PATH']}`);
    vi.stubEnv('WANDB_MODE', 'offline');
    vi.stubEnv('WANDB_API_KEY', secret);
  }

  it('writes the configuration, every step, grid and evaluation, and goes on as the same run', async () => {
    offline();
    const config = configFile({
      logging: ['wandb'],
      samples: { every: 1, count: 1, steps: 1 },
      steps: 2,
      evaluation: { count: 2, steps: 1 },
    });
    const run = outputOf(config);
    expect((await eam('finetune', config, '--quiet')).code).toBe(0);
    const [first] = recordsOf(run);
    expect(first!.config).toMatchObject({ steps: 2, prompts: ['0', '1', '2'] });
    const stepsWith = (logged: Logged, key: string) =>
      logged.steps.filter(({ keys }) => keys.includes(key)).map((each) => each.step);
    expect([stepsWith(first!, 'reward/mean'), stepsWith(first!, 'samples')]).toEqual([
      [1, 2],
      [0, 1, 2],
    ]);
    expect(first!.summary).toContain('evaluation/after/reward/mean');
    expect(first!.exit).toBe(0);
    // Two steps more, and then the first checkpoint again: what W&B has is not sent again.
    expect((await eam('finetune', run, '--resume', '--quiet', '--set', 'steps=4')).code).toBe(0);
    rmSync(join(run, 'checkpoints', 'step-4'), { recursive: true });
    expect((await eam('finetune', run, '--resume', '--quiet', '--set', 'steps=5')).code).toBe(0);
    const all = recordsOf(run);
    expect(new Set(all.map(({ id }) => id)).size).toBe(1);
    expect(all.flatMap((each) => stepsWith(each, 'reward/mean'))).toEqual([1, 2, 3, 4, 5]);
    expect(all.flatMap((each) => stepsWith(each, 'samples'))).toEqual([0, 1, 2, 3, 4, 5]);
    expect(spawnSync('grep', ['-rl', secret, run], { encoding: 'utf8' }).stdout).toBe('');
  });

  it('finishes what a run has logged that was killed, and calls it failed', () => {
    const directory = temporaryFolder();
    const lines = [
      { directory, name: 'mine', group: 'several' },
      { kind: 'scalars', step: 1, values: { 'reward/mean': 1 } },
      { kind: 'image', step: 1, path: join(directory, 'is-not-there.png') },
      { kind: 'scalars', step: 2, values: { 'reward/mean': 2 } },
    ];
    const { stdout, status } = spawnSync(python, [bridge], {
      input: lines.map((line) => `${JSON.stringify(line)}\n`).join(''),
      encoding: 'utf8',
      env: { ...process.env, WANDB_MODE: 'offline' },
    });
    expect([status, stdout]).toEqual([0, expect.stringMatching(/^image: .*is-not-there\.png'\n$/)]);
    const [logged] = recordsOf(directory);
    expect(logged).toMatchObject({ group: 'several', exit: 1 });
    expect(logged!.steps.map((each) => each.step)).toEqual([1, 2]);
  });

  it.each([
    { key: undefined, said: /expected a key of W&B, got .*WANDB_MODE=offline/ },
    { key: 'short', said: /expected a key of W&B, got .*40/ },
  ])('is refused online with the key $key, and no server is asked', ({ key, said }) => {
    const env = { ...process.env, HOME: temporaryFolder(), WANDB_MODE: 'online', WANDB_API_KEY: key };
    // Nobody listens at this address, so that a process which asked a server would get no answer.
    const { stdout, status } = spawnSync(python, [bridge, '--check'], {
      encoding: 'utf8',
      env: { ...env, WANDB_BASE_URL: 'http://127.0.0.1:9' },
    });
    expect([status, stdout]).toEqual([1, expect.stringMatching(said)]);
  });
});
