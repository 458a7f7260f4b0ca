// A run's directory belongs to one process at a time; a killed one does not keep it.
import { spawn, spawnSync } from 'node:child_process';
import { closeSync, existsSync, mkdirSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { hostname } from 'node:os';
import { dirname, join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';

import { beforeAll, describe, expect, it } from 'vitest';

import { CheckpointError } from '../../lib/errors.js';
import { lockName, RunLock } from '../../lib/files/lock.js';
import { RunDirectory } from '../../lib/jobs/run-directory.js';
import { binding } from '../../lib/runtime/native/index.js';
import { eam } from '../helpers/command-line.js';
import { temporaryFolder, tinyModelDirectory } from '../helpers/tiny-run.js';

const program = fileURLToPath(new URL('../../dist/cli/main.js', import.meta.url));

let model: string;
beforeAll(async () => {
  model = await tinyModelDirectory();
});

function configFile(change: object = {}): { config: string; run: string } {
  const folder = temporaryFolder();
  const [config, run] = [join(folder, 'config.json'), join(folder, 'run')];
  writeFileSync(
    config,
    JSON.stringify({
      model,
      prompts: ['0', '1'],
      rewards: [{ name: 'stroke-weight' }],
      algorithm: { name: 'eam', solver: 'euler', steps: 1, renoisings: 1 },
      optimizer: { learningRate: 1e-2 },
      steps: 2,
      batch: 2,
      samples: { count: 2, steps: 1 },
      output: run,
      ...change,
    }),
  );
  return { config, run };
}

function start(config: string) {
  const child = spawn(process.execPath, [program, 'finetune', config, '--quiet'], { stdio: 'ignore' });
  return { child, ended: new Promise<number | null>((resolve) => child.on('close', resolve)) };
}

describe('a run', () => {
  it('is not resumed while another process trains, and at once when that was killed', async () => {
    const { config, run } = configFile({ steps: 100_000, checkpoints: { every: 1 } });
    const { child, ended } = start(config);
    while (!existsSync(join(run, 'checkpoints', 'step-1'))) await sleep(5);
    const resume = () => eam('finetune', config, '--resume', '--quiet', '--set', 'steps=1');
    expect(await resume()).toEqual({
      code: 1,
      stdout: '',
      stderr:
        `error: ${run} is being written to by process ${child.pid} on ${hostname()}: wait until that has ended, or ` +
        'name another output\n',
    });
    expect(JSON.parse(readFileSync(join(run, 'config.json'), 'utf8'))).toMatchObject({ steps: 100_000 });
    child.kill('SIGKILL');
    expect(await ended).toBeNull();
    expect(readdirSync(run)).toContain('lock');
    expect(await resume()).toMatchObject({ code: 0, stderr: '' });
    expect(readdirSync(run)).toEqual(expect.arrayContaining(['report.html']));
    expect(readdirSync(run)).not.toContain('lock');
  });

  it('takes a directory of its own when it begins beside another', async () => {
    const { config, run } = configFile();
    expect(await Promise.all([start(config).ended, start(config).ended])).toEqual([0, 0]);
    for (const path of [run, `${run}-2`]) {
      expect(readdirSync(path).sort()).toEqual([
        'checkpoints',
        'config.json',
        'metrics.jsonl',
        'panel.json',
        'report.html',
        'run.json',
        'samples',
      ]);
    }
  });

  it('leaves nothing behind when it cannot begin', async () => {
    const { config, run } = configFile({ adapter: { targets: ['no such layer'] } });
    expect((await eam('finetune', config, '--quiet')).code).toBe(2);
    expect(readdirSync(dirname(run))).toEqual(['config.json']);
  });

  it.each([
    { command: 'pretrain', config: 'configs/pretrain-digits.json' },
    { command: 'compare', config: 'configs/compare-digits.json' },
  ])('is not resumed by eam $command while another is going on', async ({ command, config }) => {
    const directory = await RunDirectory.create(join(temporaryFolder(), 'run'));
    const { code, stderr } = await eam(command, config, '--output', directory.path, '--resume', '--quiet');
    expect([code, stderr]).toEqual([
      1,
      expect.stringContaining(`${directory.path} is being written to by process ${process.pid} on`),
    ]);
    directory.unlock();
  });
});

describe('the lock of a directory', () => {
  it('is held once, and can be taken again when it was let go of', async () => {
    const first = await RunDirectory.create(join(temporaryFolder(), 'run'));
    writeFileSync(join(first.path, 'config.json'), '{}');
    const second = RunDirectory.existing(first.path);
    expect(() => second.lock()).toThrow(CheckpointError);
    first.unlock();
    expect(readdirSync(first.path)).toEqual(['config.json']);
    second.lock();
    expect(() => first.lock()).toThrow(/is being written to by/);
    second.unlock();
  });

  it('is looked for without making or keeping anything', async () => {
    const run = await RunDirectory.create(join(temporaryFolder(), 'run'));
    expect(RunLock.isHeld(run.path)).toBe(true);
    run.unlock();
    mkdirSync(run.path, { recursive: true });
    expect([RunLock.isHeld(run.path), existsSync(join(run.path, lockName))]).toEqual([false, false]);
  });

  const hasFlock = spawnSync('flock', ['--version']).status === 0;
  it.skipIf(!hasFlock)('is not taken from a stranger who keeps a shared one, nor waited for without end', async () => {
    const path = join(temporaryFolder(), lockName);
    writeFileSync(path, '');
    const stranger = spawn('flock', ['--shared', path, 'sh', '-c', 'echo held; read end']);
    const ended = new Promise((resolve) => stranger.once('close', resolve));
    await new Promise((resolve) => stranger.stdout.once('data', resolve));
    expect(binding().lockFile(path)).toBeUndefined();
    stranger.stdin.end();
    await ended;
    const fd = binding().lockFile(path)!;
    expect(fd).toBeGreaterThan(0);
    closeSync(fd);
  });

  it('does not count when a killed process left it in an otherwise empty directory', async () => {
    const path = temporaryFolder();
    writeFileSync(join(path, 'lock'), 'process 1 on nowhere\n');
    const directory = await RunDirectory.create(path);
    expect(directory.path).toBe(path);
    directory.unlock();
  });
});
