// A run's folder is read in every state in which it may be found.
import { spawn, spawnSync } from 'node:child_process';
import { mkdirSync, writeFileSync } from 'node:fs';
import { hostname } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';

import { describe, expect, it } from 'vitest';

import { ConfigError } from '../../lib/errors.js';
import { RunLock } from '../../lib/files/lock.js';
import { readRunView } from '../../lib/jobs/report/run-view.js';
import { config, evaluation, grid, runFolder, stepMetrics } from '../helpers/run-folders.js';
import { temporaryFolder } from '../helpers/tiny-run.js';

const versions = { 'eam-torch': '9.9.9' };
const line = (step: number) => JSON.stringify(stepMetrics(step));

describe('readRunView', () => {
  it('reads a finished run whole', async () => {
    const directory = runFolder({ evaluation, status: { state: 'finished', versions } });
    const view = await readRunView(directory);
    expect(view).toMatchObject({ directory, name: 'run', command: 'finetune', state: 'finished', config, versions });
    expect(view.metrics.map(({ step }) => step)).toEqual(Array.from({ length: 30 }, (_, at) => at + 1));
    expect(view.grids).toEqual(
      [0, 10, 20, 30].map((step) => ({ step, path: join(directory, 'samples', `step-${step}.png`) })),
    );
    expect(view.evaluation).toEqual(evaluation);
    expect(view.problem).toBeUndefined();
    expect(Math.abs(view.changed.getTime() - Date.now())).toBeLessThan(3_600_000);
  });

  it.each([
    { what: 'a number that was not finite', evaluation: { ...evaluation, gain: null }, shown: true },
    { what: 'a mean that was not finite', evaluation: { ...evaluation, before: withMean(null) }, shown: true },
    { what: "a distillation's", evaluation: { teacher: {}, student: {} }, shown: false },
    { what: 'another form', evaluation: { ...evaluation, after: 3 }, shown: false },
    { what: 'no object', evaluation: [1], shown: false },
  ])('shows an evaluation of $what: $shown', async ({ evaluation, shown }) => {
    const view = await readRunView(runFolder({ evaluation, status: { state: 'finished', versions } }));
    expect(view.evaluation !== undefined).toBe(shown);
  });

  it('leaves out an evaluation of an earlier end', async () => {
    const extended = { ...config, steps: 60 };
    const view = await readRunView(runFolder({ config: extended, evaluation, status: { state: 'stopped', versions } }));
    expect(view.evaluation).toBeUndefined();
  });

  it('passes over lines that are empty, cut short, binary, of another form, or there twice', async () => {
    const lines = [
      line(2),
      '',
      line(1),
      'null',
      '7',
      '{"step":"3"}',
      '\0\x01�',
      '[]',
      line(3),
      line(2),
      '{"step":4,"rew',
    ];
    const { metrics } = await readRunView(runFolder({ lines }));
    expect(metrics.map(({ step }) => step)).toEqual([1, 2, 3]);
  });

  it('reads a folder with nothing but a configuration', async () => {
    const directory = join(temporaryFolder(), 'bare');
    mkdirSync(directory);
    writeFileSync(join(directory, 'config.json'), JSON.stringify(config));
    expect(await readRunView(directory)).toMatchObject({ state: 'stopped', metrics: [], grids: [], versions: {} });
  });

  it('takes only pictures of steps for grids', async () => {
    const directory = runFolder({ grids: { 100: grid(1), 20: grid(2) } });
    for (const name of ['step-5.png.tmp', 'step-x.png', 'best.png'])
      writeFileSync(join(directory, 'samples', name), '');
    expect((await readRunView(directory)).grids.map(({ step }) => step)).toEqual([20, 100]);
  });
});

function withMean(mean: number | null) {
  return { ...evaluation.before, reward: { mean, std: null } };
}

describe('the state of a run', () => {
  it.each([
    { what: 'its folder says', status: { state: 'failed', problem: 'no memory', versions }, state: 'failed' },
    { what: 'it was killed', status: { state: 'running', versions }, state: 'stopped' },
    { what: 'it says nothing after its last step', status: undefined, state: 'finished' },
    { what: 'run.json is damaged', status: { state: 'flying' }, state: 'finished' },
    { what: 'it says nothing before', status: undefined, lines: [line(1)], state: 'stopped' },
    { what: 'its evaluation is missing', config: { ...config, evaluation: {} }, state: 'stopped' },
  ])('is $state where $what', async ({ what: _, state, ...folder }) => {
    const view = await readRunView(runFolder(folder));
    expect(view.state).toBe(state);
    expect(view.problem).toBe(state === 'failed' ? 'no memory' : undefined);
  });

  it('is running while this process or another has the lock, and not when that was killed', async () => {
    const directory = runFolder({ status: { state: 'running', versions } });
    const state = async () => (await readRunView(directory)).state;
    const lock = RunLock.take(directory)!;
    expect(await state()).toBe('running');
    lock.release();
    expect(await state()).toBe('stopped');

    const lockFile = fileURLToPath(new URL('../../dist/files/lock.js', import.meta.url));
    const program = `
      const { RunLock } = await import(${JSON.stringify(lockFile)});
      RunLock.take(${JSON.stringify(directory)});
      process.stdout.write('locked');
      setInterval(() => {}, 1000);`;
    const child = spawn(process.execPath, ['--input-type=module', '-e', program], {
      stdio: ['ignore', 'pipe', 'inherit'],
    });
    await new Promise((resolve) => child.stdout.once('data', resolve));
    expect(await state()).toBe('running');
    child.kill('SIGKILL');
    await new Promise((resolve) => child.once('close', resolve));
    expect(await state()).toBe('stopped');
  });

  it.each([
    { what: 'this process got the number of the killed one', name: `process ${process.pid} on ${hostname()}` },
    { what: 'the process was of another machine', name: `process ${process.pid} on elsewhere` },
    { what: 'the process had no time to write its name', name: '' },
    { what: 'the process is gone', name: `process ${goneProcess()} on ${hostname()}` },
  ])('is not running where nobody has the lock and $what', async ({ name }) => {
    const directory = runFolder({ status: { state: 'running', versions } });
    writeFileSync(join(directory, 'lock'), name);
    expect((await readRunView(directory)).state).toBe('stopped');
  });
});

/** The number of a process that has ended. */
function goneProcess(): number {
  return spawnSync(process.execPath, ['-e', '']).pid;
}

describe('readRunView refuses', () => {
  const folderWith = (name: string, text: string) => {
    const folder = temporaryFolder();
    writeFileSync(join(folder, name), text);
    return folder;
  };
  it.each([
    { what: 'a folder that is not there', directory: '/no/such/run', got: 'got none' },
    { what: 'an empty folder', directory: temporaryFolder(), got: 'got a folder without them' },
    {
      what: 'a comparison',
      directory: folderWith('config.json', '{"contenders": []}'),
      got: "got a comparison's, which has a report of its own",
    },
    {
      what: 'a model',
      directory: folderWith('config.json', '{"type": "digits"}'),
      got: 'got a folder with another config.json',
    },
    { what: 'JSON that is no object', directory: folderWith('config.json', '3'), got: 'another config.json' },
  ])('$what', async ({ directory, got }) => {
    const error: unknown = await readRunView(directory).catch((reason: unknown) => reason);
    expect(error).toBeInstanceOf(ConfigError);
    expect((error as Error).message).toContain(
      `${directory}: expected a run's folder, which has a config.json and a metrics.jsonl, got`,
    );
    expect((error as Error).message).toContain(got);
  });

  it('a configuration that was cut short, with its line', async () => {
    const directory = folderWith('config.json', '{"steps": 3,\n');
    await expect(readRunView(directory)).rejects.toThrow(/config\.json is not valid JSON: .*line 2/);
  });
});
