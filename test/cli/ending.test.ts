// How a session ends, and what a run leaves then. The reward of each run ends it, at its third step.
import { spawn, type ChildProcess } from 'node:child_process';
import { closeSync, existsSync, openSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';

import { beforeAll, describe, expect, it } from 'vitest';

import { outlivesTerminal, type Beginnings } from '../../lib/cli/hangup.js';
import { checkpointsOf, program, runThat } from '../helpers/ending-run.js';
import { temporaryFolder, tinyModelDirectory } from '../helpers/tiny-run.js';

let model: string;
beforeAll(async () => {
  model = await tinyModelDirectory();
});

type Stdio = 'ignore' | 'pipe' | number;

async function eam(
  args: readonly string[],
  { stdio = ['ignore', 'ignore', 'pipe'] as Stdio[], env = process.env, during = (_: ChildProcess) => {} } = {},
): Promise<{ code: number | null; signal: NodeJS.Signals | null; stderr: string }> {
  // Whoever runs the tests may itself have been started by nohup.
  const child = spawn(process.execPath, [program, ...args], { stdio, env: { ...env, _: env['_TEST'] } });
  let stderr = '';
  child.stderr?.on('data', (text) => {
    stderr += String(text);
  });
  during(child);
  return new Promise((resolve) => child.on('close', (code, signal) => resolve({ code, signal, stderr })));
}

describe('a run', () => {
  it.each(['SIGINT', 'SIGTERM', 'SIGQUIT', 'SIGHUP'])('leaves a checkpoint on %s', async (name) => {
    const { config, output } = runThat(model, `kill('${name}'); await pause(20);`);
    const { code, stderr } = await eam(['finetune', config]);
    expect([code, checkpointsOf(output)]).toEqual([130, ['step-2']]);
    expect(stderr).toContain(`${name}: stopping; what can be resumed is written first`);
    expect(stderr).toMatch(new RegExp(`^interrupted by ${name}$`, 'm'));
  });

  it('takes what one Ctrl-C and one closed terminal send twice as one', async () => {
    const { config, output } = runThat(
      model,
      "kill('SIGINT'); kill('SIGINT'); kill('SIGHUP'); kill('SIGHUP'); await pause(20);",
    );
    const { code } = await eam(['finetune', config, '--quiet']);
    expect([code, checkpointsOf(output)]).toEqual([130, ['step-2']]);
  });

  it('stops at once on a second Ctrl-C', async () => {
    const { config, output } = runThat(
      model,
      "kill('SIGINT'); await pause(1000); kill('SIGINT'); await pause(60_000);",
    );
    const { code, stderr } = await eam(['finetune', config]);
    expect([code, checkpointsOf(output)]).toEqual([130, []]);
    expect(stderr).toContain('a second Ctrl-C');
  });

  it.each([
    { what: 'the name of the command', env: { _TEST: '/usr/bin/nohup' }, stdin: 'ignore' },
    { what: 'an input that can only be written to', env: {}, stdin: '/dev/null' },
  ])('goes on after SIGHUP under nohup, known by $what', async ({ env, stdin }) => {
    const { config, output } = runThat(model, "kill('SIGHUP'); await pause(20);");
    const input = stdin === 'ignore' ? stdin : openSync(stdin, 'w');
    const { code, stderr } = await eam(['finetune', config, '--quiet'], {
      stdio: [input, 'ignore', 'pipe'],
      env: { ...process.env, ...env },
    });
    if (typeof input === 'number') closeSync(input);
    expect([code, stderr, checkpointsOf(output)]).toEqual([0, '', ['step-5']]);
  });

  it.each([
    {
      what: 'heeds its signal',
      third:
        "kill('SIGTERM'); await new Promise((_, no) => signal.addEventListener('abort', () => no(signal.reason)));",
    },
    { what: 'never settles, without work for Node', third: "kill('SIGTERM'); await new Promise(() => {});" },
    {
      what: 'never settles and keeps Node busy',
      third: "setInterval(() => {}, 1000); kill('SIGTERM'); await new Promise(() => {});",
    },
  ])('is not held up by a reward that $what', async ({ third }) => {
    const { config, output } = runThat(model, third);
    const { code } = await eam(['finetune', config, '--quiet']);
    expect([code, checkpointsOf(output)]).toEqual([130, ['step-2']]);
  });

  it.each([
    { what: 'throws in a callback', third: "setTimeout(() => { throw new Error('no socket'); }); await pause(50);" },
    { what: 'lets a promise reject', third: "void Promise.reject(new Error('no socket')); await pause(50);" },
  ])('leaves a checkpoint where a reward $what', async ({ third }) => {
    const { config, output } = runThat(model, third);
    const { code, stderr } = await eam(['finetune', config, '--quiet']);
    expect([code, checkpointsOf(output)]).toEqual([1, ['step-2']]);
    expect(stderr).toBe('error: no socket\n');
  });

  it('goes on where nobody reads what it prints', async () => {
    const { config, output } = runThat(model, '');
    const { code } = await eam(['finetune', config, '--set', 'evaluation.count=2'], {
      stdio: ['ignore', 'pipe', 'pipe'],
      during(child) {
        child.stdout!.destroy();
        child.stderr!.destroy();
      },
    });
    expect([code, checkpointsOf(output)]).toEqual([0, ['step-5']]);
  });

  it.runIf(existsSync('/dev/full'))(
    'goes on where its output cannot be written, and says at the end that results are lost',
    async () => {
      const { config, output } = runThat(model, '');
      const full = openSync('/dev/full', 'w');
      const progress = await eam(['finetune', config], { stdio: ['ignore', 'ignore', full] });
      expect([progress.code, checkpointsOf(output)]).toEqual([0, ['step-5']]);
      const results = await eam(['evaluate', output, '--count', '2', '--json', '--quiet'], {
        stdio: ['ignore', full, 'pipe'],
      });
      closeSync(full);
      expect([results.code, results.stderr]).toEqual([
        1,
        expect.stringMatching(/^error: the output could not be written: ENOSPC/),
      ]);
    },
  );

  it('goes on where the process that started it dies', async () => {
    const { config, output } = runThat(model, "process.kill(process.ppid, 'SIGKILL'); await pause(50);");
    // The list keeps the shell from becoming the run itself; the pipe closes when the run has ended, too.
    const shell = spawn('sh', ['-c', '"$0" "$1" finetune "$2"; true', process.execPath, program, config], {
      stdio: ['ignore', 'pipe', 'ignore'],
    });
    shell.stdout!.resume();
    const ended = new Promise((resolve) => shell.on('close', (_, signal) => resolve(signal)));
    expect([await ended, checkpointsOf(output)]).toEqual(['SIGKILL', ['step-5']]);
  });

  it('leaves a checkpoint on SIGHUP where it is a pretraining', async () => {
    const output = join(temporaryFolder(), 'run');
    const recipe = fileURLToPath(new URL('../../configs/pretrain-digits.json', import.meta.url));
    const small = [
      'steps=100000',
      'batch=2',
      'checkpoints.every=100000',
      'model.width=16',
      'model.depth=1',
      'model.heads=1',
    ];
    const { code } = await eam(['pretrain', recipe, '--output', output, ...small.flatMap((set) => ['--set', set])], {
      during(child) {
        const timer = setInterval(() => {
          const metrics = join(output, 'metrics.jsonl');
          if (!existsSync(metrics) || readFileSync(metrics, 'utf8') === '') return;
          child.kill('SIGHUP');
          clearInterval(timer);
        }, 20);
      },
    });
    expect([code, checkpointsOf(output)]).toEqual([130, [expect.stringMatching(/^step-\d+$/)]]);
  });
});

describe('outlivesTerminal', () => {
  const files = {
    '/proc/self/fd/0': '/dev/pts/1',
    '/proc/self/fdinfo/0': 'pos:\t0\nflags:\t0100002\n',
    '/proc/self/fd/1': '/dev/pts/1',
    '/proc/7/status': 'SigBlk:\t0000000000000000\nSigIgn:\t0000000000384004\n',
  };
  const known = (changed: Readonly<Record<string, string>>, env: Beginnings['env'] = {}) => {
    const all: Readonly<Record<string, string>> = { ...files, ...changed };
    return outlivesTerminal({ env, ppid: 7, read: (path) => all[path] });
  };

  it.each([
    { what: 'a terminal alone', changed: {}, outlives: false },
    {
      what: 'nothing that can be read',
      changed: Object.fromEntries(Object.keys(files).map((name) => [name, ''])),
      outlives: false,
    },
    {
      what: 'an input from /dev/null',
      changed: { '/proc/self/fd/0': '/dev/null', '/proc/self/fdinfo/0': 'flags:\t0100000\n' },
      outlives: false,
    },
    {
      what: 'an unreadable input',
      changed: { '/proc/self/fd/0': '/dev/null', '/proc/self/fdinfo/0': 'pos:\t0\nflags:\t0100001\n' },
      outlives: true,
    },
    { what: 'nohup.out', changed: { '/proc/self/fd/1': '/home/me/nohup.out' }, outlives: true },
    {
      what: 'a parent that ignores SIGHUP',
      changed: { '/proc/7/status': 'SigIgn:\t0000000000001001\n' },
      outlives: true,
    },
    {
      what: 'a parent that ignores others',
      changed: { '/proc/7/status': 'SigIgn:\t0000000000001000\n' },
      outlives: false,
    },
  ])('answers $outlives for $what', ({ changed, outlives }) => expect(known(changed)).toBe(outlives));

  it('answers false for the name of another command', () => {
    expect([known({}, { _: '/usr/bin/nohup' }), known({}, { _: '/usr/bin/node' })]).toEqual([true, false]);
  });
});
