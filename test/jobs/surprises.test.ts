// What a user who runs the same line twice, or names the wrong file, is told.
import { existsSync, mkdirSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';

import { beforeAll, describe, expect, it } from 'vitest';

import { slugOf } from '../../lib/jobs/text.js';
import { evaluationText } from '../../lib/jobs/report/evaluation-table.js';
import type { Reward } from '../../lib/rewards/reward.js';
import { evaluate } from '../../lib/training/evaluation.js';
import { changeOver, pairedDifferences } from '../../lib/training/student.js';
import { loadModel } from '../../lib/models/registry.js';
import { eam } from '../helpers/command-line.js';
import { temporaryFolder, tinyAdapter, tinyModelDirectory, tinyRun } from '../helpers/tiny-run.js';

let model: string;
beforeAll(async () => {
  model = await tinyModelDirectory();
});

function configFile(change: object = {}): string {
  const path = join(temporaryFolder(), 'config.json');
  const config = {
    model,
    adapter: tinyAdapter,
    prompts: ['0'],
    rewards: [{ name: 'stroke-weight' }],
    algorithm: { name: 'eam', solver: 'euler', steps: 1, renoisings: 1 },
    optimizer: { learningRate: 1e-3 },
    steps: 2,
    batch: 2,
    samples: { count: 2, columns: 2, steps: 1 },
    ...change,
  };
  writeFileSync(path, JSON.stringify(config));
  return path;
}

describe('an output directory that exists', () => {
  const steps = (run: string) => readFileSync(join(run, 'metrics.jsonl'), 'utf8').trim().split('\n').length;

  it.each([
    { how: '--output', flags: (run: string) => ['--output', run] },
    { how: '--set output', flags: (run: string) => ['--set', `output=${run}`] },
  ])('is refused where it is named by $how, resumed or replaced where asked', async ({ flags }) => {
    const run = join(temporaryFolder(), 'mine');
    const line = ['finetune', configFile(), '--quiet', ...flags(run)];
    expect(await eam(...line)).toMatchObject({ code: 0 });
    const again = await eam(...line, '--set', 'steps=3');
    expect([again.code, again.stderr]).toEqual([
      2,
      expect.stringMatching(/mine is there already: --resume goes on with the run in it, --overwrite replaces it, or/),
    ]);
    expect([existsSync(`${run}-2`), steps(run)]).toEqual([false, 2]);
    expect(await eam(...line, '--set', 'steps=3', '--resume')).toMatchObject({ code: 0 });
    expect(steps(run)).toBe(3);
    expect(await eam(...line, '--set', 'steps=1', '--overwrite')).toMatchObject({ code: 0, stderr: '' });
    expect([steps(run), readdirSync(join(run, 'checkpoints'))]).toEqual([1, ['step-1']]);
  });

  it('is numbered where only the configuration names it, and that is said', async () => {
    const run = join(temporaryFolder(), 'mine');
    const config = configFile({ output: run });
    expect(await eam('finetune', config, '--quiet')).toMatchObject({ code: 0 });
    const { code, stderr } = await eam('finetune', config);
    expect([code, stderr]).toEqual([
      0,
      expect.stringContaining(`${run} is there already: this run is another, ${run}-2\n`),
    ]);
  });

  it('is not overwritten where it is no run, nor where the new one cannot begin', async () => {
    const folder = temporaryFolder();
    writeFileSync(join(folder, 'thesis.tex'), 'dear');
    const refused = await eam('finetune', configFile(), '--quiet', '--output', folder, '--overwrite');
    expect([refused.code, refused.stderr]).toEqual([
      1,
      expect.stringContaining('it holds thesis.tex, which is not what a run writes'),
    ]);
    const run = join(temporaryFolder(), 'mine');
    const line = ['finetune', configFile(), '--quiet', '--output', run];
    await eam(...line);
    const bad = join(temporaryFolder(), 'bad.mjs');
    writeFileSync(bad, 'export const nothing = 1;');
    const reward = `rewards=${JSON.stringify([{ name: 'module', file: bad }])}`;
    expect(await eam(...line, '--overwrite', '--set', reward)).toMatchObject({ code: 2 });
    expect([steps(run), readdirSync(join(run, 'checkpoints'))]).toEqual([2, ['step-2']]);
  });

  it('cannot be both resumed and overwritten', async () => {
    const { code, stderr } = await eam('finetune', configFile(), '--resume', '--overwrite');
    expect([code, stderr]).toEqual([2, 'error: flags: expected --resume or --overwrite, got both\n']);
  });

  it('does not stop a trainer that may overwrite it, and the old one stays until it has a checkpoint', async () => {
    const { trainer, checkpoints } = await tinyRun(model);
    for await (const _ of trainer.run({ steps: 3 }));
    const next = await tinyRun(model, checkpoints, { checkpoints: { directory: checkpoints, overwrite: true } });
    for await (const { step } of next.trainer.run({ steps: 2 })) {
      if (step === 1) expect(readdirSync(checkpoints)).toEqual(['step-3']);
    }
    expect(readdirSync(checkpoints)).toEqual(['step-2']);
    const plain = await tinyRun(model, checkpoints);
    await expect(plain.trainer.run({ steps: 1 }).next()).rejects.toThrow('checkpoints.overwrite');
  });
});

describe('eam sample', () => {
  const line = (out: string, ...more: string[]) =>
    eam('sample', '--model', model, '--prompt', '1', '--count', '2', '--steps', '1', '--out', out, ...more);

  it.each(['x.jpg', 'x.JPEG', 'x.webp', 'x.tiff', 'x.gif'])('refuses %s by name', async (name) => {
    const { code, stderr } = await line(join(temporaryFolder(), name));
    expect([code, stderr]).toEqual([2, expect.stringMatching(/is not written, only PNG: name .*x\.png, or a folder/)]);
  });

  it('does not mix images of two calls in a folder, unless asked', async () => {
    const folder = join(temporaryFolder(), 'v1.5');
    expect(await line(folder)).toMatchObject({ code: 0 });
    const before = readFileSync(join(folder, '1-1.png'));
    const again = await line(folder, '--seed', '5');
    expect([again.code, again.stderr]).toEqual([2, expect.stringMatching(/holds images already, such as 1-1\.png/)]);
    expect(readFileSync(join(folder, '1-1.png'))).toEqual(before);
    expect(await line(folder, '--seed', '5', '--overwrite')).toMatchObject({ code: 0 });
    expect(readFileSync(join(folder, '1-1.png'))).not.toEqual(before);
  });

  it('writes into a folder that holds other things, and says where it replaces a PNG', async () => {
    const folder = temporaryFolder();
    mkdirSync(join(folder, 'notes'));
    writeFileSync(join(folder, 'cover.png'), '');
    expect(await line(folder)).toMatchObject({ code: 0 });
    expect((await line(join(folder, 'cover.png'))).stderr).toContain('cover.png (replaced)');
  });

  it.each([
    { prompt: 'Ein Füchslein, grün!', name: 'ein-füchslein-grün' },
    { prompt: '雪の中の狐', name: '雪の中の狐' },
    { prompt: 'лиса в снегу', name: 'лиса-в-снегу' },
    { prompt: 'हिम में लोमड़ी', name: 'हिम-में-लोमड़ी' },
    { prompt: '../../etc/passwd', name: 'etc-passwd' },
    { prompt: '🦊', name: '' },
    { prompt: '𝒇'.repeat(60), name: '𝒇'.repeat(40) },
  ])('names a file of "$prompt" by its letters', ({ prompt, name }) =>
    expect(slugOf(prompt)).toBe(name.normalize('NFC')),
  );
});

describe('the change from before to after', () => {
  const changeOf = (before: number[], after: number[], prompts: string[]) =>
    changeOver(pairedDifferences(before, after, prompts));

  it.each([
    { of: 'one prompt', prompts: ['a', 'a', 'a', 'a'] },
    { of: 'as many prompts', prompts: ['a', 'b', 'c', 'd'] },
  ])('has the interval of Student’s t over the pairs of $of', ({ prompts }) => {
    // Differences 1, 2, 3: mean 2, standard error 1/√3, t(2, 97.5 %) = 4.3027.
    const { mean, interval, pairs } = changeOf([0, 10, 20, Number.NaN], [1, 12, 23, 5], prompts);
    expect([mean, pairs]).toEqual([2, 3]);
    expect(interval![0]).toBeCloseTo(2 - 4.30265 / Math.sqrt(3), 4);
    expect(interval![1]).toBeCloseTo(2 + 4.30265 / Math.sqrt(3), 4);
    expect(changeOf([1], [2], ['a'])).toEqual({ mean: 1, interval: null, pairs: 1, prompts: 1 });
    expect(changeOf([Number.NaN], [2], ['a'])).toEqual({ mean: null, interval: null, pairs: 0, prompts: 0 });
  });

  it('takes the spread between prompts, whose pairs are alike', () => {
    // Differences 1, 1 of a prompt and 3, 3 of another: as of two values, mean 2, error 1, t(1, 97.5 %) = 12.706.
    const { mean, interval, pairs, prompts } = changeOf([0, 0, 0, 0], [1, 3, 1, 3], ['a', 'b', 'a', 'b']);
    expect([mean, pairs, prompts]).toEqual([2, 4, 2]);
    expect(interval![0]).toBeCloseTo(2 - 12.7062, 3);
    expect(interval![1]).toBeCloseTo(2 + 12.7062, 3);
  });

  it.each([
    { count: 4, rough: true },
    { count: 30, rough: false },
  ])('counts $count pairs in evaluations, and says what is shown', async ({ count, rough }) => {
    using tiny = await loadModel(model, { adapter: tinyAdapter });
    let calls = 0;
    // Noisy rewards, of which each image gains exactly 0.5.
    const reward: Reward = {
      name: 'rising',
      score: async (_, prompts) => {
        const gain = calls++ ? 0.5 : 0;
        return { values: Float32Array.from(prompts, (_prompt, image) => (image % 3) + gain) };
      },
    };
    const evaluation = await evaluate(tiny, { reward, prompts: ['0'], count, seed: 1n, steps: 1, batch: count });
    expect(evaluation.change!.reward).toEqual({ mean: 0.5, interval: [0.5, 0.5], pairs: count, prompts: 1 });
    const text = evaluationText(evaluation);
    expect(text).toContain('+0.500 [+0.500, +0.500]');
    expect(text).toContain(`±: standard deviation over the ${count} images`);
    expect(text).toContain('95 % interval');
    expect(text.includes('the interval is rough')).toBe(rough);
  });
});
