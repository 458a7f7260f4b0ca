import { spawn, type ChildProcess } from 'node:child_process';
import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';

import { afterEach, beforeAll, describe, expect, it, vi } from 'vitest';

import { newestWholeCheckpoint } from '../../lib/files/checkpoints.js';
import { DriftProbe } from '../../lib/training/drift.js';
import { finetune } from '../../lib/jobs/finetune/finetune.js';
import type { JobObserver } from '../../lib/jobs/progress.js';
import { eam } from '../helpers/command-line.js';
import { tensorHashes } from '../helpers/tiny-run.js';
import { configFile, outputOf, program } from '../helpers/finetune-config.js';

afterEach(() => vi.restoreAllMocks());

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
