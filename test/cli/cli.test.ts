import { spawn, type ChildProcess } from 'node:child_process';
import { existsSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';

import { decode } from 'fast-png';
import { afterEach, beforeAll, describe, expect, it, vi } from 'vitest';

import { newestWholeCheckpoint } from '../../lib/files/checkpoints.js';
import { DriftProbe } from '../../lib/training/drift.js';
import { NonFiniteError } from '../../lib/errors.js';
import { finetune } from '../../lib/jobs/finetune/finetune.js';
import type { JobObserver } from '../../lib/jobs/progress.js';
import { eam } from '../helpers/command-line.js';
import { tensorHashes, temporaryFolder, tinyAdapter, tinyModelDirectory } from '../helpers/tiny-run.js';

/** What a command that computes says first, where no configuration names a device. */
const device = 'device: cpu (auto: there is no NVIDIA driver here)\n';

afterEach(() => vi.restoreAllMocks());

const program = fileURLToPath(new URL('../../dist/cli/main.js', import.meta.url));

let model: string;
beforeAll(async () => {
  model = await tinyModelDirectory();
});

function configFile(change: object = {}): string {
  const config = {
    model,
    adapter: tinyAdapter,
    prompts: ['0', '1', '2'],
    rewards: [{ name: 'stroke-weight', scale: 4 }],
    algorithm: { name: 'eam', solver: 'euler', steps: 2, renoisings: 2, delta: 0.3 },
    optimizer: { learningRate: 1e-2, emaDecay: 0.9 },
    steps: 4,
    batch: 6,
    checkpoints: { every: 2 },
    samples: { count: 6, columns: 3, steps: 2 },
    output: join(temporaryFolder(), 'run'),
    ...change,
  };
  const path = join(mkdtempSync(join(tmpdir(), 'eam-cli-')), 'config.json');
  writeFileSync(path, JSON.stringify(config));
  return path;
}

const outputOf = (config: string): string => JSON.parse(readFileSync(config, 'utf8')).output;

describe('eam', () => {
  it('lists its commands and exit codes', async () => {
    const { code, stdout } = await eam('--help');
    expect(code).toBe(0);
    for (const command of [
      'finetune',
      'compare',
      'pretrain',
      'sample',
      'evaluate',
      'fidelity',
      'doctor',
      'cache',
      'build',
      'libtorch',
    ])
      expect(stdout).toContain(`  ${command} `);
    expect(stdout).toContain('130 interrupted');
  });

  it.each([
    'finetune',
    'compare',
    'pretrain',
    'sample',
    'evaluate',
    'fidelity',
    'doctor',
    'cache',
    'build',
    'libtorch',
  ])('shows the help of %s', async (command) => {
    const { code, stdout } = await eam(command, '--help');
    expect(code).toBe(0);
    expect(stdout).toContain(`Usage: eam ${command}`);
  });

  it.each([
    { args: ['frobnicate'], message: /unknown command 'frobnicate'/ },
    { args: ['finetune'], message: /missing required argument 'config'/ },
    { args: ['finetune', 'x.json', '--sett', 'a=1'], message: /unknown option '--sett'/ },
    {
      args: ['sample', '--prompt', '3', '--out', 'x.png', '--count', '0'],
      message: /option '--count <n>' argument '0' is invalid\. Expected a whole number from 1\./,
    },
    {
      args: ['sample', '--prompt', '3', '--out', 'x.png', '--solver', 'rk4'],
      message: /Allowed choices are euler, heun, midpoint, dpmpp2m/,
    },
    { args: ['sample', '--out', 'x.png'], message: /expected at least one --prompt/ },
    { args: ['finetune', 'no-such.json'], message: /cannot read no-such\.json/ },
  ])('ends with bad usage for $args', async ({ args, message }) => {
    const { code, stderr } = await eam(...args);
    expect(stderr).toMatch(message);
    expect(code).toBe(2);
  });

  it('prints one clear message for a bad configuration', async () => {
    const { code, stderr } = await eam('finetune', configFile(), '--set', 'algorithm.C=0.5', '--quiet');
    expect(code).toBe(2);
    expect(stderr).toBe('error: finetune configuration: algorithm.C: expected a number above 0.5, got 0.5\n');
  });

  it('fails with 1 where the model is not there', async () => {
    const { code, stderr } = await eam('finetune', configFile({ model: '/no/such/model' }));
    expect(stderr).toMatch(/^error: no model at "\/no\/such\/model"/);
    expect(code).toBe(1);
  });
});

describe('eam finetune', () => {
  it('writes a whole run directory, from which can be sampled and evaluated', async () => {
    const config = configFile({ evaluation: { count: 8, steps: 2 } });
    const { code, stdout, stderr } = await eam('finetune', config, '--set', 'steps=3', '--set', 'seed=4');
    expect([code, stderr]).toEqual([0, expect.stringMatching(/step 3\/3 {2}reward .* evaluations\/s/)]);
    expect(stdout).toMatch(/^ +before +after +change\nreward /);
    const run = outputOf(config);
    expect(readdirSync(run).sort()).toEqual([
      'checkpoints',
      'config.json',
      'evaluation.json',
      'metrics.jsonl',
      'report.html',
      'samples',
    ]);
    expect(readdirSync(join(run, 'samples')).sort()).toEqual(['step-0.png', 'step-3.png']);
    expect(readdirSync(join(run, 'checkpoints')).sort()).toEqual(['step-2', 'step-3']);
    expect(JSON.parse(readFileSync(join(run, 'config.json'), 'utf8'))).toMatchObject({
      steps: 3,
      seed: 4,
      algorithm: { C: 1, lambda: 1 },
    });
    const steps = readFileSync(join(run, 'metrics.jsonl'), 'utf8')
      .trim()
      .split('\n')
      .map((line) => JSON.parse(line));
    expect(steps.map(({ step }) => step)).toEqual([1, 2, 3]);
    for (const { drift } of steps) expect(drift).toBeGreaterThan(0);
    expect(decode(readFileSync(join(run, 'samples', 'step-3.png')))).toMatchObject({
      width: 3 * 10 + 2,
      height: 2 * 10 + 2,
    });
    expect(readFileSync(join(run, 'samples', 'step-0.png'))).not.toEqual(
      readFileSync(join(run, 'samples', 'step-3.png')),
    );

    const evaluated = await eam('evaluate', run, '--json', '--quiet');
    expect(evaluated.code).toBe(0);
    // The same adapter on the same noise: what the run itself measured.
    expect(JSON.parse(evaluated.stdout)).toEqual(JSON.parse(readFileSync(join(run, 'evaluation.json'), 'utf8')));

    const out = join(run, 'drawn', 'grid.png');
    const sampled = await eam(
      'sample',
      '--adapter',
      run,
      '--prompt',
      '1',
      '--prompt',
      '2',
      '--count',
      '4',
      '--steps',
      '2',
      '--seed',
      '9',
      '--out',
      out,
    );
    expect(sampled).toMatchObject({ code: 0, stderr: `${device}${out}\n` });
    const settings = JSON.parse(decode(readFileSync(out)).text['eam-torch']!);
    expect(settings).toMatchObject({
      model,
      prompts: ['1', '2'],
      count: 4,
      steps: 2,
      seed: 9,
      adapter: join(run, 'checkpoints', 'step-3'),
    });
  });

  it('is quiet where asked', async () => {
    expect(await eam('finetune', configFile({ steps: 1 }), '--quiet')).toEqual({ code: 0, stdout: '', stderr: '' });
  });

  it('refuses to resume a run that is not there', async () => {
    const { code, stderr } = await eam('finetune', configFile(), '--resume');
    expect(stderr).toMatch(/run has no checkpoint$/m);
    expect(code).toBe(1);
  });

  it('resumes a run that was killed before its first checkpoint, but writes into no model', async () => {
    const config = configFile({ steps: 2 });
    expect((await eam('finetune', config, '--quiet')).code).toBe(0);
    const run = outputOf(config);
    const expected = tensorHashes(join(run, 'checkpoints'), 2);
    // Killed before or while it removed old checkpoints, after its last step: no other is written, which would do so.
    for (const name of ['step-0', 'step-1', 'step-1.tmp']) mkdirSync(join(run, 'checkpoints', name));
    expect((await eam('finetune', run, '--resume', '--quiet')).code).toBe(0);
    expect(readdirSync(join(run, 'checkpoints')).sort()).toEqual(['step-1', 'step-2']);
    rmSync(join(run, 'checkpoints'), { recursive: true });
    const { code, stderr } = await eam('finetune', run, '--resume');
    expect([code, stderr]).toEqual([
      0,
      expect.stringContaining('which was stopped before its first checkpoint, at step 0'),
    ]);
    expect(tensorHashes(join(run, 'checkpoints'), 2)).toEqual(expected);
    expect(readFileSync(join(run, 'metrics.jsonl'), 'utf8').trim().split('\n')).toHaveLength(2);

    const refused = await eam('finetune', config, '--resume', '--output', model);
    expect([refused.code, refused.stderr]).toEqual([1, `${device}error: ${model} has no checkpoint\n`]);
  });

  it('names what is wrong with the checkpoints of a run that is evaluated or sampled from', async () => {
    const config = configFile({ steps: 2, checkpoints: { every: 1 } });
    expect((await eam('finetune', config, '--quiet')).code).toBe(0);
    const run = outputOf(config);
    const sample = [
      'sample',
      '--adapter',
      run,
      '--prompt',
      '1',
      '--count',
      '1',
      '--steps',
      '2',
      '--out',
      join(run, 'x.png'),
    ];
    writeFileSync(join(run, 'checkpoints', 'step-2', 'state.json'), '{}');
    const passed = await eam(...sample);
    expect([passed.code, passed.stderr]).toEqual([
      0,
      expect.stringMatching(/^passed over: .*step-2 cannot be used: state\.json has 2 bytes/m),
    ]);
    writeFileSync(join(run, 'checkpoints', 'step-1', 'state.json'), '{}');
    for (const args of [sample, ['evaluate', run]]) {
      const { code, stderr } = await eam(...args, '--quiet');
      expect([code, stderr]).toEqual([
        1,
        expect.stringMatching(
          /^error: .* has no whole checkpoint:\n.*step-2 cannot be used: state\.json.*\n.*step-1 cannot be used/,
        ),
      ]);
    }
  });

  it('reports a checkpoint that could not be written, and then gives no hint to resume', async () => {
    const config = configFile();
    const interrupt = new AbortController();
    const reason = new Error('enough');
    const notes: string[] = [];
    const observer: JobObserver = {
      begin() {},
      advance() {
        writeFileSync(join(outputOf(config), 'checkpoints'), 'in the way');
        interrupt.abort(reason);
      },
      note: (line) => notes.push(line),
      end() {},
    };
    await expect(
      finetune(JSON.parse(readFileSync(config, 'utf8')), { signal: interrupt.signal, observer }),
    ).rejects.toBe(reason);
    expect(reason).toMatchObject({ suppressed: [{ message: expect.stringMatching(/step-1 could not be written/) }] });
    expect(notes.join('\n')).not.toContain('to go on');
  });

  it.each([
    {
      what: 'before its first step, where it would fail again',
      method: 'create',
      reason: new Error('drift cannot be measured'),
      helps: false,
    },
    { what: 'after a step', method: 'measure', reason: new Error('the disk of the log is full'), helps: true },
    {
      what: 'after a step, having diverged, where it would diverge again',
      method: 'measure',
      reason: new NonFiniteError('nothing is finite'),
      helps: false,
    },
  ] as const)('tells a run that failed $what to resume where that can help', async ({ method, reason, helps }) => {
    const config = configFile();
    const notes: string[] = [];
    const observer: JobObserver = { begin() {}, advance() {}, note: (line) => void notes.push(line), end() {} };
    if (method === 'create') vi.spyOn(DriftProbe, method).mockRejectedValue(reason);
    else vi.spyOn(DriftProbe.prototype, method).mockRejectedValue(reason);
    await expect(finetune(JSON.parse(readFileSync(config, 'utf8')), { observer })).rejects.toBe(reason);
    vi.restoreAllMocks();
    const hints = notes.filter((line) => line.includes('to go on'));
    expect(hints).toEqual(helps ? [`stopped after step 1; to go on: eam finetune ${outputOf(config)} --resume`] : []);
  });

  it('ends with 1, not 130, where the interruption left no checkpoint', async () => {
    const config = configFile();
    const create = DriftProbe.create.bind(DriftProbe);
    vi.spyOn(DriftProbe, 'create').mockImplementation((...args) => {
      writeFileSync(join(outputOf(config), 'checkpoints'), 'in the way');
      process.emit('SIGINT', 'SIGINT');
      return create(...args);
    });
    const { code, stderr } = await eam('finetune', config, '--quiet');
    expect([code, stderr]).toEqual([
      1,
      expect.stringMatching(/^error: interrupted by SIGINT\nerror: checkpoint .*step-0 could not be written: .*\n$/),
    ]);
  });
});

describe('eam, with its output piped into head,', () => {
  it('ends as without the pipe, and shows no trace of the closed reader', async () => {
    const child = spawn(process.execPath, [program, '--help'], { stdio: ['ignore', 'pipe', 'pipe'] });
    child.stdout.destroy();
    let stderr = '';
    child.stderr.on('data', (text) => (stderr += String(text)));
    expect(await new Promise((resolve) => child.on('close', resolve))).toBe(0);
    expect(stderr).toBe('');
  });
});

describe('eam finetune, stopped,', () => {
  const steps = 200;
  const start = (config: string, ...args: string[]): ChildProcess =>
    spawn(process.execPath, [program, 'finetune', config, ...args], { stdio: ['ignore', 'ignore', 'pipe'] });
  const ended = (child: ChildProcess): Promise<{ code: number | null; stderr: string }> =>
    new Promise((resolve) => {
      let stderr = '';
      child.stderr!.on('data', (text) => (stderr += String(text)));
      child.on('close', (code) => resolve({ code, stderr }));
    });
  const stoppable = () => configFile({ steps, checkpoints: { every: 20, keep: 2 } });
  const until = async (condition: () => boolean) => {
    while (!condition()) await new Promise((resolve) => setTimeout(resolve, 20));
  };
  const linesOf = (run: string) =>
    existsSync(join(run, 'metrics.jsonl'))
      ? readFileSync(join(run, 'metrics.jsonl'), 'utf8').split('\n').length - 1
      : 0;

  let expected: Record<string, string>;
  let metrics: string[];
  const losses = (run: string) =>
    readFileSync(join(run, 'metrics.jsonl'), 'utf8')
      .trim()
      .split('\n')
      .map((line) => String(JSON.parse(line).loss));
  beforeAll(async () => {
    const config = stoppable();
    expect((await ended(start(config, '--quiet'))).code).toBe(0);
    expected = tensorHashes(join(outputOf(config), 'checkpoints'), steps);
    metrics = losses(outputOf(config));
  });

  it('writes a checkpoint on Ctrl-C, ends with 130, and resumes to the same weights', async () => {
    const config = stoppable();
    const run = outputOf(config);
    const child = start(config);
    const end = ended(child);
    await until(() => linesOf(run) >= 30);
    child.kill('SIGINT');
    const { code, stderr } = await end;
    expect(code).toBe(130);
    expect(stderr).toMatch(/interrupted by SIGINT\n$/);
    const checkpoint = await newestWholeCheckpoint(join(run, 'checkpoints'));
    expect(checkpoint!.step).toBe(linesOf(run));
    expect(checkpoint!.step).toBeLessThan(steps);
    expect((await ended(start(config, '--resume'))).code).toBe(0);
    expect(tensorHashes(join(run, 'checkpoints'), steps)).toEqual(expected);
    expect(losses(run)).toEqual(metrics);
  });

  it.each(['during the first grid', 'while drift is prepared'])(
    'writes a checkpoint of step 0 where it stops %s, and resumes',
    async (moment) => {
      const config = configFile({ steps: 2 });
      const run = outputOf(config);
      const settings = JSON.parse(readFileSync(config, 'utf8'));
      const interrupt = new AbortController();
      const reason = new Error('enough');
      const notes: string[] = [];
      const observer: JobObserver = {
        begin() {},
        advance() {},
        note: (line) => {
          notes.push(line);
          if (line.startsWith('writing to') && moment === 'during the first grid') interrupt.abort(reason);
        },
        end() {},
      };
      const create = DriftProbe.create.bind(DriftProbe);
      if (moment !== 'during the first grid') {
        vi.spyOn(DriftProbe, 'create').mockImplementation((...args) => {
          interrupt.abort(reason);
          return create(...args);
        });
      }
      await expect(finetune(settings, { signal: interrupt.signal, observer })).rejects.toBe(reason);
      vi.restoreAllMocks();
      expect(readdirSync(join(run, 'checkpoints'))).toEqual(['step-0']);
      expect(notes.at(-1)).toBe(`stopped after step 0; to go on: eam finetune ${run} --resume`);
      const whole = configFile({ steps: 2 });
      expect((await eam('finetune', whole, '--quiet')).code).toBe(0);
      expect((await eam('finetune', run, '--resume', '--quiet')).code).toBe(0);
      expect(tensorHashes(join(run, 'checkpoints'), 2)).toEqual(tensorHashes(join(outputOf(whole), 'checkpoints'), 2));
    },
  );
});

describe('eam pretrain', () => {
  const recipe = (change: object) => {
    const path = join(temporaryFolder(), 'recipe.json');
    writeFileSync(
      path,
      JSON.stringify({
        optimizer: { learningRate: 1e-3, emaDecay: 0.9 },
        steps: 3,
        batch: 8,
        output: join(temporaryFolder(), 'model'),
        ...change,
      }),
    );
    return path;
  };
  const digits = {
    model: { type: 'digits', patchSize: 7, width: 16, depth: 1, heads: 2 },
    data: { shift: 1 },
    samples: { count: 4, columns: 2, steps: 2 },
    storage: 'float16',
  };

  it('trains a digits model that can be sampled from', async () => {
    const path = recipe(digits);
    const { code, stderr } = await eam('pretrain', path);
    expect([code, stderr]).toEqual([0, expect.stringContaining('step 3/3')]);
    const out = join(temporaryFolder(), 'sample.png');
    expect(
      (
        await eam(
          'sample',
          '--model',
          outputOf(path),
          '--prompt',
          'a three',
          '--count',
          '2',
          '--steps',
          '2',
          '--out',
          out,
          '--quiet',
        )
      ).code,
    ).toBe(0);
    expect(decode(readFileSync(out))).toMatchObject({ width: 2 * 30 + 2, height: 32 });
  });

  it('goes on where it stopped, to the same weights', async () => {
    const whole = recipe(digits);
    const halved = recipe(digits);
    await eam('pretrain', whole, '--quiet');
    expect(
      (await eam('pretrain', halved, '--quiet', '--set', 'checkpoints.every=1', '--set', 'checkpoints.keep=9')).code,
    ).toBe(0);
    const checkpoints = join(outputOf(halved), 'checkpoints');
    for (const step of [2, 3]) writeFileSync(join(checkpoints, `step-${step}`, 'training.safetensors'), 'damaged');
    // As a run leaves it that is killed in its last moment.
    writeFileSync(join(outputOf(halved), 'model.safetensors.tmp-7-0'), 'half');
    const { code, stderr } = await eam('pretrain', halved, '--resume');
    expect([code, stderr]).toEqual([
      0,
      expect.stringMatching(/passed over: .*step-3 cannot be used[\s\S]*resumed .* at step 1/),
    ]);
    expect(readFileSync(join(outputOf(halved), 'model.safetensors'))).toEqual(
      readFileSync(join(outputOf(whole), 'model.safetensors')),
    );
    expect(readdirSync(outputOf(halved)).sort()).toEqual(readdirSync(outputOf(whole)).sort());
  });

  it('goes on from its directory, killed before its first checkpoint, to the same weights', async () => {
    const whole = recipe({ ...digits, steps: 30 });
    expect((await eam('pretrain', whole, '--quiet')).code).toBe(0);
    const killed = recipe({ ...digits, steps: 30 });
    const run = outputOf(killed);
    const child = spawn(process.execPath, [program, 'pretrain', killed, '--quiet'], { stdio: 'ignore' });
    const closed = new Promise((resolve) => child.on('close', (_code, signal) => resolve(signal)));
    while (!existsSync(join(run, 'metrics.jsonl')) && child.exitCode === null)
      await new Promise((resolve) => setTimeout(resolve, 1));
    child.kill('SIGKILL');
    expect(await closed).toBe('SIGKILL');
    expect(readdirSync(run).sort()).toEqual(['lock', 'metrics.jsonl', 'recipe.json']);
    const { code, stderr } = await eam('pretrain', run, '--resume');
    expect([code, stderr]).toEqual([
      0,
      expect.stringContaining('which was stopped before its first checkpoint, at step 0'),
    ]);
    expect(readFileSync(join(run, 'model.safetensors'))).toEqual(
      readFileSync(join(outputOf(whole), 'model.safetensors')),
    );
    const losses = (path: string) =>
      readFileSync(join(path, 'metrics.jsonl'), 'utf8')
        .trim()
        .split('\n')
        .map((line) => JSON.parse(line).loss);
    expect(losses(run)).toEqual(losses(outputOf(whole)));
    // A finished model is not begun again in its place.
    rmSync(join(run, 'checkpoints'), { recursive: true });
    const refused = await eam('pretrain', run, '--resume');
    expect([refused.code, refused.stderr]).toEqual([1, `error: ${run} has no checkpoint\n`]);
  });

  it('trains a classifier and prints its accuracy', async () => {
    const path = recipe({
      model: { type: 'digit-classifier', widths: [8, 8], features: 16 },
      optimizer: { learningRate: 1e-2 },
      steps: 60,
      batch: 32,
      data: { noise: 0.1 },
    });
    const { code, stderr } = await eam('pretrain', path);
    expect(code).toBe(0);
    expect(Number(/held-out accuracy: ([\d.]+) %/.exec(stderr)![1])).toBeGreaterThan(50);
  });

  it('names the mistake in a recipe', async () => {
    const { code, stderr } = await eam('pretrain', recipe({ model: { type: 'unet' } }));
    expect(stderr).toBe(
      'error: pretrain configuration: model.type: expected one of "digits", "digit-classifier", got "unet"\n',
    );
    expect(code).toBe(2);
  });
});
