import { mkdirSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';

import { decode } from 'fast-png';
import { afterEach, describe, expect, it, vi } from 'vitest';

import { DriftProbe } from '../../lib/training/drift.js';
import { NonFiniteError } from '../../lib/errors.js';
import { finetune } from '../../lib/jobs/finetune/finetune.js';
import type { JobObserver } from '../../lib/jobs/progress.js';
import { eam } from '../helpers/command-line.js';
import { tensorHashes } from '../helpers/tiny-run.js';
import { configFile, model, outputOf } from '../helpers/finetune-config.js';

/** What a command that computes says first, where no configuration names a device. */
const device = 'device: cpu (auto: there is no NVIDIA driver here)\n';

afterEach(() => vi.restoreAllMocks());

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
      'evaluation-samples.json',
      'evaluation.json',
      'examples',
      'metrics.jsonl',
      'panel.json',
      'report.html',
      'run.json',
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
      expect.stringMatching(/^passed over: .*step-2 cannot be used: state\.json: expected \d+ bytes, got 2/m),
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
