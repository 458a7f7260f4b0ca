// What a run belongs to: the paths that it recorded, and what lies there now.
import { cpSync, mkdirSync, readFileSync, renameSync, truncateSync, utimesSync, writeFileSync } from 'node:fs';
import { join, relative } from 'node:path';
import { fileURLToPath } from 'node:url';

import { afterEach, beforeAll, describe, expect, it } from 'vitest';

import { finetune } from '../helpers/jobs.js';
import { shippedDirectory } from '../../lib/runtime/package.js';
import { eam } from '../helpers/command-line.js';
import { temporaryFolder, tinyAdapter, tinyModelDirectory, tinyRun } from '../helpers/tiny-run.js';

const sd35 = fileURLToPath(new URL('../fixtures/sd35-tiny', import.meta.url));

const quickstart = fileURLToPath(new URL('../../configs/quickstart.json', import.meta.url));

let original: string;
const home = process.cwd();
beforeAll(async () => {
  original = await tinyModelDirectory();
});
afterEach(() => process.chdir(home));

/** A project: a model, a classifier for a reward, and a run of 2 steps that names both by relative paths. */
async function project() {
  const folder = temporaryFolder();
  cpSync(original, join(folder, 'models', 'mine'), { recursive: true });
  writeFileSync(
    join(folder, 'dark.mjs'),
    'export default ({ data }, prompts) => ({ values: prompts.map(() => 0), grad: new Float32Array(data.length) });',
  );
  const config = {
    model: 'models/mine',
    adapter: tinyAdapter,
    prompts: ['0', '1'],
    rewards: [{ name: 'module', file: 'dark.mjs' }],
    algorithm: { name: 'eam', solver: 'euler', steps: 1, renoisings: 1 },
    optimizer: { learningRate: 1e-3 },
    steps: 2,
    batch: 2,
    samples: { count: 2, columns: 2, steps: 1 },
    evaluation: { count: 4, steps: 1 },
    output: 'runs/one',
  };
  writeFileSync(join(folder, 'config.json'), JSON.stringify(config));
  process.chdir(folder);
  await finetune(config);
  process.chdir(home);
  return { folder, run: join(folder, 'runs', 'one'), config };
}

/** Other weights, in the same shapes. */
function change(model: string): void {
  const path = join(model, 'model.safetensors');
  const bytes = readFileSync(path);
  bytes[bytes.length - 1]! ^= 0x10;
  writeFileSync(`${path}.new`, bytes);
  renameSync(`${path}.new`, path);
}

const resume = (run: string, ...flags: string[]) =>
  eam('finetune', run, '--resume', '--set', 'steps=3', '--quiet', ...flags);

describe('the record of a run', () => {
  it('names its files by absolute paths, so that the run goes on and is evaluated from anywhere', async () => {
    const { folder, run } = await project();
    expect(JSON.parse(readFileSync(join(run, 'config.json'), 'utf8'))).toMatchObject({
      model: join(folder, 'models', 'mine'),
      rewards: [{ file: join(folder, 'dark.mjs') }],
      output: run,
    });
    process.chdir(temporaryFolder());
    expect(await eam('evaluate', run, '--json', '--quiet')).toMatchObject({ code: 0, stderr: '' });
    expect(await resume(relative(process.cwd(), run))).toMatchObject({ code: 0, stderr: '' });
  });

  it('finds what was moved together with the run', async () => {
    const { folder } = await project();
    const moved = join(temporaryFolder(), 'elsewhere');
    renameSync(folder, moved);
    const run = join(moved, 'runs', 'one');
    expect(await eam('evaluate', run, '--quiet')).toMatchObject({ code: 0, stderr: '' });
    expect(await resume(run)).toMatchObject({ code: 0, stderr: '' });
    const out = join(moved, 'x.png');
    expect(
      await eam('sample', '--adapter', run, '--prompt', '1', '--steps', '1', '--count', '1', '--out', out, '--quiet'),
    ).toMatchObject({ code: 0 });
    expect(JSON.parse(readFileSync(join(run, 'config.json'), 'utf8')).model).toBe(join(moved, 'models', 'mine'));
  });
});

describe('the resume of a run', () => {
  it.each([
    { what: 'model', change: ({ folder }: Project) => change(join(folder, 'models', 'mine')), set: [] },
    {
      what: 'rewards',
      change: ({ folder }: Project) =>
        writeFileSync(join(folder, 'dark.mjs'), `${readFileSync(join(folder, 'dark.mjs'), 'utf8')}\n// v2`),
      set: [],
    },
    { what: 'rewards', change: () => {}, set: ['rewards.0.weight=2'] },
    { what: 'algorithm', change: () => {}, set: ['algorithm.lambda=7'] },
    { what: 'data', change: () => {}, set: ['prompts=["1","0"]'] },
  ])('refuses another $what ($set), unless that is allowed', async ({ what, change, set }) => {
    const made = await project();
    change(made);
    const flags = set.flatMap((each) => ['--set', each]);
    const refused = await resume(made.run, ...flags);
    expect([refused.code, refused.stderr]).toEqual([
      1,
      expect.stringMatching(
        new RegExp(
          `step-2 was written by a run with .*other.* --allow ${what} \\(in JavaScript: allow: \\['${what}'\\]\\)`,
        ),
      ),
    ]);
    expect(await resume(made.run, ...flags, '--allow', what)).toMatchObject({ code: 0, stderr: '' });
  });

  it('says which words --allow knows', async () => {
    const { code, stderr } = await eam('finetune', quickstart, '--resume', '--allow', 'modle');
    expect([code, stderr]).toEqual([2, 'error: --allow: expected one of model, rewards, algorithm, data, got modle\n']);
  });

  it('refuses another model in its place, as evaluation and sampling do', async () => {
    const { folder, run } = await project();
    change(join(folder, 'models', 'mine'));
    const evaluated = await eam('evaluate', run, '--quiet');
    expect([evaluated.code, evaluated.stderr]).toEqual([1, expect.stringContaining('--allow model')]);
    expect((await eam('evaluate', run, '--quiet', '--allow', 'model')).code).toBe(0);
    const sample = [
      'sample',
      '--adapter',
      run,
      '--prompt',
      '1',
      '--steps',
      '1',
      '--count',
      '1',
      '--out',
      join(folder, 'x.png'),
      '--quiet',
    ];
    const drawn = await eam(...sample);
    expect([drawn.code, drawn.stderr]).toEqual([1, expect.stringContaining('was trained on another model')]);
    expect((await eam(...sample, '--model', join(folder, 'models', 'mine'))).code).toBe(0);
  });

  it('accepts a copy of the model elsewhere, of which the times differ', async () => {
    const { folder, run } = await project();
    const copy = join(folder, 'copy');
    cpSync(join(folder, 'models', 'mine'), copy, { recursive: true });
    utimesSync(join(copy, 'model.safetensors'), 1, 1);
    expect(await resume(run, '--set', `model=${copy}`)).toMatchObject({ code: 0, stderr: '' });
  });
});
type Project = Awaited<ReturnType<typeof project>>;

describe('a file of weights that is written to under a run', () => {
  const damages = [
    { how: 'is emptied', damage: (path: string) => truncateSync(path, 0) },
    { how: 'is cut short', damage: (path: string) => truncateSync(path, readFileSync(path).length >> 1) },
    {
      how: 'is overwritten in place with as much',
      damage: (path: string) => writeFileSync(path, Buffer.alloc(readFileSync(path).length, 1), { flag: 'r+' }),
    },
  ];

  it.each(damages)('ends the run with an error and a checkpoint where a process $how', async ({ damage }) => {
    const model = join(temporaryFolder(), 'model');
    cpSync(original, model, { recursive: true });
    const { trainer, checkpoints } = await tinyRun(model);
    await expect(async () => {
      for await (const { step } of trainer.run({ steps: 6 })) if (step === 2) damage(join(model, 'model.safetensors'));
    }).rejects.toThrow(/model\.safetensors was (written to|cut short or became unreadable) while it was in use/);
    expect(JSON.parse(readFileSync(join(checkpoints, 'step-2', 'state.json'), 'utf8'))).toMatchObject({ step: 2 });
  });

  it('changes nothing where it is replaced or removed instead', async () => {
    const model = join(temporaryFolder(), 'model');
    cpSync(original, model, { recursive: true });
    const { trainer } = await tinyRun(model);
    for await (const { step } of trainer.run({ steps: 3 })) {
      if (step === 1) change(model);
      if (step === 2) renameSync(join(model, 'model.safetensors'), join(model, 'gone'));
    }
    expect(trainer.step).toBe(3);
  });

  it('is reported when images are drawn, for a file among several, too', async () => {
    const folder = temporaryFolder();
    cpSync(sd35, join(folder, 'sd35'), { recursive: true });
    const { loadModel } = await import('../../lib/models/registry.js');
    const { sampleImages } = await import('../../lib/training/sampler.js');
    using model = await loadModel(join(folder, 'sd35'), {
      size: { width: 32, height: 32 },
      embeddingCache: join(folder, 'cache'),
    });
    const draw = () => sampleImages(model, { prompts: ['a fox'], seed: 0n, steps: 1, guidance: 1 });
    (await draw()).dispose();
    truncateSync(join(folder, 'sd35', 'vae', 'diffusion_pytorch_model.safetensors'), 100);
    await expect(draw()).rejects.toThrow(/vae.*diffusion_pytorch_model\.safetensors was/);
  });

  it('ends the run when it belongs to a reward, too', async () => {
    const folder = temporaryFolder();
    const classifier = join(folder, 'classifier');
    cpSync(shippedDirectory('digit-classifier'), classifier, { recursive: true });
    mkdirSync(join(folder, 'out'));
    const config = {
      model: 'digits',
      prompts: ['0'],
      rewards: [{ name: 'digit-classifier', directory: classifier }],
      algorithm: { name: 'eam', solver: 'euler', steps: 1, renoisings: 1 },
      optimizer: { learningRate: 1e-3 },
      steps: 3,
      batch: 1,
      samples: { count: 1, steps: 1 },
      output: join(folder, 'run'),
    };
    const observer = {
      begin() {},
      advance: (done: number) => void (done === 1 && writeFileSync(join(classifier, 'model.safetensors'), '')),
      note() {},
      end() {},
    };
    await expect(finetune(config, { observer })).rejects.toThrow(/classifier.*model\.safetensors was/);
    expect(JSON.parse(readFileSync(join(folder, 'run', 'checkpoints', 'step-1', 'state.json'), 'utf8')).step).toBe(1);
  });
});
