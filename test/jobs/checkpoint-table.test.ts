// Tables of checkpoints: what is drawn, killed and gone on with, and refused.
import { spawnSync } from 'node:child_process';
import { cpSync, existsSync, readdirSync, readFileSync, rmSync, truncateSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';

import { beforeAll, describe, expect, it } from 'vitest';

import { evaluateCheckpoints, type CheckpointTable } from '../../lib/jobs/evaluate/table/table.js';
import { finetune } from '../../lib/jobs/finetune/finetune.js';
import { changeOver, pairedDifferences } from '../../lib/training/student.js';
import { readSamples } from '../../lib/jobs/evaluated/sample-file.js';
import type { Evaluation } from '../../lib/training/evaluation.js';
import { eam } from '../helpers/command-line.js';
import { temporaryFolder, tinyModelDirectory } from '../helpers/tiny-run.js';

const main = fileURLToPath(new URL('../../dist/cli/main.js', import.meta.url));

/** A reward that takes down how often it is asked, and kills its process when it is told to. */
const module = `
import { appendFileSync } from 'node:fs';
const calls = new URL('./calls', import.meta.url);
let count = 0;
export default ({ data }, prompts) => {
  if (++count === Number(process.env.DIE_AT)) process.kill(process.pid, 'SIGKILL');
  appendFileSync(calls, '.');
  const size = data.length / prompts.length;
  const values = prompts.map((_, at) => data.slice(at * size, (at + 1) * size).reduce((sum, value) => sum + value, 0));
  return { values, grad: new Float32Array(data.length).fill(1) };
};`;

let folder: string;
let model: string;
const run = (name: string) => join(folder, name);
const calls = () => (existsSync(run('calls')) ? readFileSync(run('calls'), 'utf8').length : 0);
const config = (name: string, change: object = {}) => ({
  model,
  prompts: ['0', '1', '2'],
  rewards: [{ name: 'stroke-weight' }, { name: 'module', file: run('reward.mjs'), weight: 0.5 }],
  algorithm: { name: 'eam', steps: 1, renoisings: 1, delta: 0.3 },
  optimizer: { learningRate: 0.05 },
  ...{ steps: 2, batch: 3, checkpoints: { every: 1, keep: 5 }, samples: { count: 2, steps: 1 } },
  evaluation: { count: 6, steps: 1, seed: 4, batch: 6 },
  output: run(name),
  ...change,
});

beforeAll(async () => {
  folder = temporaryFolder();
  model = await tinyModelDirectory();
  writeFileSync(run('reward.mjs'), module);
  await finetune(config('a') as never);
  await finetune(config('b', { seed: 8, adapter: { rank: 1, alpha: 2 } }) as never);
});

const table = async (...args: string[]): Promise<CheckpointTable> => {
  const { code, stdout, stderr } = await eam('evaluate', ...args, '--quiet', '--json');
  expect([code, stderr]).toEqual([0, '']);
  return JSON.parse(stdout) as CheckpointTable;
};

describe('a table of checkpoints', () => {
  it('has the figures that the run itself measured, from one path', async () => {
    const { rows } = await table(run('a'), '--checkpoints', 'last', '--output', join(temporaryFolder(), 'out'));
    const evaluation = JSON.parse(readFileSync(join(run('a'), 'evaluation.json'), 'utf8')) as Evaluation;
    // One reward of the file is itself called "reward", so that the whole one has another name than elsewhere.
    expect(Object.keys(rows[0]!.rewards)).toEqual(['whole reward', 'stroke-weight', 'reward']);
    for (const [row, half] of [[rows[0]!, evaluation.before] as const, [rows[1]!, evaluation.after] as const]) {
      expect(row.rewards['whole reward']).toMatchObject(half.reward);
      expect(row.rewards['reward']).toMatchObject(half.rewards['reward']!);
    }
    expect(rows[1]!.rewards['whole reward']!.change).toMatchObject({
      mean: expect.closeTo(evaluation.change!.reward.mean!, 12) as number,
      pairs: 6,
    });
    // The rewards that the run kept of each sample give its figures to the bit.
    const samples = (await readSamples(run('a')))!;
    const prompts = samples.prompt.map((at) => samples.prompts[at]!);
    expect(prompts).toEqual(['0', '1', '2', '0', '1', '2']);
    const differences = pairedDifferences(samples.before.reward, samples.after.reward, prompts);
    expect(changeOver(differences)).toEqual(evaluation.change!.reward);
    const report = readFileSync(join(run('a'), 'report.html'), 'utf8');
    expect(report).toContain('Best and worst samples');
  });

  it('has every checkpoint of several runs over several seeds, with the images in a folder', async () => {
    const images = join(temporaryFolder(), 'images');
    const args = [run('a'), join(run('b'), 'checkpoints', 'step-1'), '--checkpoints', 'all', '--seeds', '1,2'];
    const out = ['--output', join(temporaryFolder(), 'out'), '--count', '3', '--keep-images', images];
    const before = calls();
    const all = await table(...args, ...out);
    expect(all.rows.map(({ run: of, step, images: count }) => [of, step, count])).toEqual([
      [undefined, undefined, 6],
      [run('a'), 1, 6],
      [run('a'), 2, 6],
      [run('b'), 1, 6],
    ]);
    expect(all).toMatchObject({ count: 3, seeds: [1, 2], prompts: 3 });
    expect(calls() - before).toBe(8);
    const folders = readdirSync(images).sort();
    expect(folders).toEqual([
      expect.stringMatching(/^a-\w{6}-step-1$/),
      expect.stringMatching(/^a-\w{6}-step-2$/),
      expect.stringMatching(/^b-\w{6}-step-1$/),
      'pretrained',
    ]);
    expect(readdirSync(join(images, 'pretrained', 'seed-2'))).toEqual(['0-0.png', '1-1.png', '2-2.png']);

    // Images that are gone are drawn again, and nothing else is.
    rmSync(join(images, 'pretrained', 'seed-2', '1-1.png'));
    expect(await table(...args, ...out)).toEqual(all);
    expect(calls() - before).toBe(9);
    // Each seed is paired with itself.
    const one = async (seed: string) =>
      (await table(run('a'), '--seeds', seed, '--count', '3', '--output', join(temporaryFolder(), 'out'))).rows;
    const means = [await one('1'), await one('2')].map((rows) => rows[1]!.rewards['whole reward']!.change!.mean!);
    expect(all.rows[2]!.rewards['whole reward']!.change!.mean).toBeCloseTo((means[0]! + means[1]!) / 2, 10);
  });

  it('goes on after SIGKILL with what is finished, and has the same figures to the bit', async () => {
    const args = (out: string) => [
      'evaluate',
      run('a'),
      run('b'),
      '--seeds',
      '5,6',
      '--output',
      out,
      '--quiet',
      '--json',
    ];
    const whole = await table(...args(join(temporaryFolder(), 'whole')).slice(1, -2));
    const out = join(temporaryFolder(), 'killed');
    const killed = spawnSync(process.execPath, [main, ...args(out)], { env: { ...process.env, DIE_AT: '4' } });
    expect(killed.signal).toBe('SIGKILL');
    const finished = readdirSync(out).filter((name) => name.endsWith('.json'));
    expect(finished).toHaveLength(3);
    const before = calls();
    expect(await table(...args(out).slice(1, -2))).toEqual(whole);
    expect(calls() - before).toBe(3);
    // A part that is damaged is computed again; with other settings all are.
    truncateSync(join(out, finished[0]!), 50);
    const { stderr, stdout } = await eam(...args(out).filter((arg) => arg !== '--quiet'));
    expect(stderr).toMatch(/is no part of this evaluation .*: it is computed again/);
    expect(JSON.parse(stdout)).toEqual(whole);
    expect(calls() - before).toBe(4);
    await table(...args(out).slice(1, -2), '--steps', '2');
    expect(calls() - before).toBe(10);
  });

  it('scores by several rewards in one pass, and prints rows for papers', async () => {
    const out = ['--output', join(temporaryFolder(), 'out'), '--quiet', '--count', '3'];
    const rewards = ['--reward', 'stroke-weight', '--reward', `module=${run('reward.mjs')}`];
    const { code, stdout } = await eam('evaluate', run('a'), ...rewards, '--format', 'markdown', ...out);
    expect(code).toBe(0);
    expect(stdout).toMatch(/^\| +\| stroke-weight \| +change \| +wins \| +\S+ \| +change \| +wins \|\n/);
    const csv = await eam('evaluate', run('a'), ...rewards, '--format', 'csv', ...out);
    expect(csv.stdout.trim().split('\n')).toHaveLength(1 + 2 * 2);
    expect((await eam('evaluate', run('a'), ...rewards, '--format', 'latex', ...out)).stdout).toMatch(/ \\\\\n$/);
  });

  it('refuses checkpoints that are missing, damaged, twice there or of another model before it draws', async () => {
    const damaged = join(temporaryFolder(), 'damaged');
    cpSync(run('a'), damaged, { recursive: true });
    truncateSync(join(damaged, 'checkpoints', 'step-1', 'adapter_model.safetensors'), 9);
    const elsewhere = await tinyModelDirectory({ depth: 1 });
    await finetune(config('other', { model: elsewhere }) as never);
    await finetune(config('words', { prompts: ['2'] }) as never);
    const before = calls();
    const cases: { args: string[]; code: number; message: RegExp }[] = [
      { args: [run('a'), run('gone')], code: 1, message: /there is no run at .*gone/ },
      { args: [run('a'), '--checkpoints', '1,7'], code: 1, message: /expected steps among 1, 2, got 7/ },
      { args: [damaged, '--checkpoints', 'all'], code: 1, message: /step-1 cannot be used: adapter_model/ },
      { args: [run('a'), join(run('a'), 'checkpoints', 'step-2')], code: 2, message: /expected each checkpoint once/ },
      { args: [run('a'), run('other')], code: 1, message: /another model/ },
      { args: [run('a'), run('words')], code: 2, message: /words: expected the prompts of .*--prompts/ },
      { args: [run('a'), '--seeds', '1,1'], code: 2, message: /seeds: expected each seed once, got / },
      { args: [run('a'), '--seeds', '1,x'], code: 2, message: /Expected a whole number/ },
      { args: [run('a'), '--seeds', '1', '--seed', '2'], code: 2, message: /cannot be used with option '--seed/ },
      { args: [run('a'), '--format', 'html'], code: 2, message: /text, markdown, csv, latex/ },
      { args: [run('a'), '--keep-images', join(run('reward.mjs'))], code: 2, message: /is a file/ },
      { args: [run('a'), '--images', folder], code: 2, message: /got a run and --images/ },
      { args: ['--images', folder, '--seeds', '1'], code: 2, message: /--seeds: not for a folder of images/ },
    ];
    for (const { args, code, message } of cases) {
      const out = ['--output', join(temporaryFolder(), 'out')];
      const withOutput = args.includes('--images') ? args : [...args, ...out];
      const result = await eam('evaluate', ...withOutput, '--quiet');
      expect([args, result.code, result.stderr]).toEqual([args, code, expect.stringMatching(message)]);
    }
    expect(calls()).toBe(before);
    await expect(evaluateCheckpoints([])).rejects.toThrow(/expected at least one run, got none/);
    await expect(evaluateCheckpoints([run('a')], { seed: 3 } as never)).rejects.toThrow(/seed/);
  });
});
