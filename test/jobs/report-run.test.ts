// The report that a fine-tuning leaves, however it ends.
import { mkdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';

import { describe, expect, it } from 'vitest';

import { readRunView } from '../../lib/jobs/report/run-view.js';
import type { JobObserver } from '../../lib/jobs/progress.js';
import { fromFunction } from '../../lib/rewards/from-function.js';
import { finetune } from '../helpers/jobs.js';
import { temporaryFolder, tinyAdapter, tinyModelDirectory } from '../helpers/tiny-run.js';

const model = await tinyModelDirectory();

const settings = (change: object = {}) => ({
  model,
  adapter: tinyAdapter,
  prompts: ['0', '1'],
  rewards: [{ name: 'stroke-weight', scale: 4 }],
  algorithm: { name: 'eam', solver: 'euler', steps: 1, renoisings: 1 },
  optimizer: { learningRate: 1e-2 },
  steps: 6,
  batch: 2,
  checkpoints: { every: 2 },
  samples: { every: 2, count: 2, steps: 1 },
  output: join(temporaryFolder(), 'run'),
  ...change,
});

/** Tells of every step, and keeps what was noted. */
function watch(onStep: (step: number) => void): { observer: JobObserver; notes: string[] } {
  const notes: string[] = [];
  const note = (line: string) => void notes.push(line);
  return { observer: { begin() {}, advance: onStep, note, end() {} }, notes };
}

/** Reads a run's report.html: its steps, its grids, and its state. */
function reported(run: string) {
  const html = readFileSync(join(run, 'report.html'), 'utf8');
  const { runs } = JSON.parse(/id="metrics">(.*?)<\/script>/s.exec(html)![1]!);
  const grids = runs[0].grids.map(({ step }: { step: number }) => step);
  return {
    steps: runs[0].axes.steps.length,
    grids,
    line: /<p class="state \w+" role="status">(.*?)<\/p>/.exec(html)?.[1],
  };
}

const status = (run: string) => JSON.parse(readFileSync(join(run, 'run.json'), 'utf8'));

describe('a fine-tuning', () => {
  it('writes its report at every checkpoint and in the end, with every grid so far', async () => {
    const config = settings({ evaluation: { count: 2, steps: 1 } });
    const seen: unknown[] = [];
    const { observer } = watch((step) => {
      if (step === 3 || step === 5) seen.push(reported(config.output), status(config.output).state);
    });
    await finetune(config, { observer });
    expect(seen).toEqual([
      { steps: 2, grids: [0, 2], line: 'Running: 2 of 6 steps done' },
      'running',
      { steps: 4, grids: [0, 2, 4], line: 'Running: 4 of 6 steps done' },
      'running',
    ]);
    expect(reported(config.output)).toEqual({ steps: 6, grids: [0, 2, 4, 6], line: undefined });
    expect(status(config.output)).toEqual({
      state: 'finished',
      versions: { 'eam-torch': expect.any(String), libtorch: expect.any(String), node: process.versions.node },
    });
    const view = await readRunView(config.output);
    expect(view).toMatchObject({ state: 'finished', evaluation: { count: 2 } });
    expect(view.metrics).toHaveLength(6);
  });

  it('leaves a report where it is interrupted, and goes on with it', async () => {
    const config = settings();
    const controller = new AbortController();
    const { observer } = watch((step) => step === 3 && controller.abort(new Error('enough')));
    await expect(finetune(config, { observer, signal: controller.signal })).rejects.toThrow('enough');
    expect(reported(config.output)).toMatchObject({
      steps: 3,
      line: expect.stringMatching(/^Stopped after 3 of 6 .*enough/),
    });
    expect(await readRunView(config.output)).toMatchObject({ state: 'stopped', problem: 'enough' });
    await finetune(config, { resume: true });
    expect(reported(config.output)).toEqual({ steps: 6, grids: [0, 2, 4, 6], line: undefined });
    expect(status(config.output).problem).toBeUndefined();
  });

  it('leaves a report where it fails', async () => {
    let calls = 0;
    const reward = fromFunction('unreliable', (images) => {
      if (++calls > 4) throw new Error('the scorer is gone');
      return { values: new Float32Array(images.shape[0]!), grad: new Float32Array(images.data.length) };
    });
    const config = settings({ rewards: [reward] });
    await expect(finetune(config)).rejects.toThrow('the scorer is gone');
    const { line, steps, grids } = reported(config.output);
    expect(line).toMatch(/^Failed after \d of 6 steps: .*the scorer is gone/);
    expect(steps).toBeGreaterThan(0);
    expect(grids[0]).toBe(0);
    expect(await readRunView(config.output)).toMatchObject({
      state: 'failed',
      problem: expect.stringContaining('gone'),
    });
  });

  it('is not stopped by a report that cannot be written, and notes it once', async () => {
    const config = settings();
    const { observer, notes } = watch((step) => {
      if (step === 1) mkdirSync(join(config.output, 'report.html', 'in-the-way'), { recursive: true });
    });
    await finetune(config, { observer });
    expect(notes.filter((line) => line.includes('report'))).toEqual([
      expect.stringMatching(/^the report could not be written: \S+report\.html could not be written: /),
    ]);
    expect(await readRunView(config.output)).toMatchObject({ state: 'finished' });
  });

  it('is what it was where a resumed one is refused', async () => {
    const config = settings();
    await finetune(config);
    const before = readFileSync(join(config.output, 'run.json'), 'utf8');
    await expect(finetune({ ...config, batch: 3 }, { resume: true })).rejects.toThrow('batch');
    expect(readFileSync(join(config.output, 'run.json'), 'utf8')).toBe(before);
  });
});
