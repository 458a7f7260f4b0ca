// finetune with rewards, a model, prompts, a judge and an algorithm that a program made.
import { existsSync, readFileSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { beforeAll, describe, expect, it } from 'vitest';

import * as api from '../../lib/index.js';
import { temporaryFolder, tinyAdapter, tinyModelDirectory } from '../helpers/tiny-run.js';

let directory: string;
beforeAll(async () => {
  directory = await tinyModelDirectory();
});

const { model: _, ...common } = {
  model: '',
  prompts: ['0', '1', '2'],
  rewards: [api.strokeWeight({ scale: 4 })],
  algorithm: api.eam({ solver: 'euler', steps: 2, renoisings: 2, delta: 0.3 }),
  optimizer: { learningRate: 1e-2, emaDecay: 0.9 },
  steps: 2,
  batch: 4,
  checkpoints: { every: 1 },
  samples: { count: 4, columns: 2, steps: 2 },
} satisfies api.FinetuneConfig;
const config = (change: Partial<api.FinetuneConfig> = {}): api.FinetuneConfig => ({
  model: directory,
  adapter: tinyAdapter,
  ...common,
  output: join(temporaryFolder(), 'run'),
  ...change,
});
const loaded = (options: api.LoadModelOptions = { adapter: tinyAdapter, seed: 0n }) =>
  api.loadModel(directory, options);
/** A configuration whose model is loaded says nothing of how to load it. */
const around = (model: api.Model, change: Partial<api.FinetuneConfig> = {}): api.FinetuneConfig => {
  const { adapter: __, ...rest } = config(change);
  return { ...rest, model };
};
const read = (run: string, name: string) =>
  JSON.parse(readFileSync(join(run, name), 'utf8')) as Record<string, unknown>;
const lines = (run: string) =>
  readFileSync(join(run, 'metrics.jsonl'), 'utf8')
    .trim()
    .split('\n')
    .map((line) => JSON.parse(line));

describe('finetune', () => {
  it('writes of what a program made the run that it writes of a file, number by number', async () => {
    using model = await loaded();
    const made = await api.finetune(around(model));
    const filed = await api.finetune(
      config({
        rewards: [{ name: 'stroke-weight', scale: 4 }],
        algorithm: { name: 'eam', solver: 'euler', steps: 2, renoisings: 2, delta: 0.3 },
      }),
    );
    const numbers = (run: string) =>
      lines(run).map(({ seconds: __, total: ___, stages: ____, memory: _____, ...rest }) => rest);
    expect(numbers(made.directory)).toEqual(numbers(filed.directory));
    for (const name of [
      'report.html',
      'samples/step-0.png',
      'samples/step-2.png',
      'checkpoints/step-2/adapter_model.safetensors',
    ])
      expect(existsSync(join(made.directory, name)), name).toBe(true);
    const { rewards, output, ...record } = read(made.directory, 'config.json');
    const { rewards: __, output: ___, ...other } = read(filed.directory, 'config.json');
    expect(record).toEqual(other);
    expect(rewards).toEqual([{ name: 'made-in-code', label: 'stroke-weight', weight: 1 }]);
    expect(output).toBe(made.directory);
    expect(readFileSync(made.report, 'utf8')).toContain('stroke-weight');
  });

  it('leaves a model that it was given to its owner, trained', async () => {
    using model = await loaded();
    await api.finetune(around(model));
    using images = await api.sampleImages(model, { prompts: ['1'], seed: 1n, steps: 1 });
    expect(images.shape[0]).toBe(1);
  });

  it('records how a model was loaded, so that others load it so', async () => {
    using model = await loaded({ adapter: tinyAdapter, size: { width: 8, height: 8 } });
    const { directory: run } = await api.finetune(around(model, { steps: 1 }));
    expect(read(run, 'config.json')).toMatchObject({
      model: directory,
      device: 'cpu',
      dtype: 'float32',
      adapter: tinyAdapter,
      image: { width: 8, height: 8 },
    });
  });

  it('goes on with the same rewards after a stop, also before the first checkpoint', async () => {
    const settings = config({ steps: 1 });
    const { directory: run } = await api.finetune(settings);
    await api.finetune({ ...settings, steps: 2 }, { resume: true });
    expect(lines(run).map(({ step }) => step)).toEqual([1, 2]);
    rmSync(join(run, 'checkpoints'), { recursive: true });
    await api.finetune({ ...settings, steps: 2 }, { resume: true });
    expect(lines(run).map(({ step }) => step)).toEqual([1, 2]);
    await expect(
      api.finetune({ ...settings, steps: 3, rewards: [api.strokeWeight({ scale: 5 })] }, { resume: true }),
    ).rejects.toThrow('--allow rewards');
  });

  it('takes a reward without a gradient, pairs with weights, and names beside them', async () => {
    const values = api.fromFunction('plain', ({ shape: [batch = 0] }) => ({ values: new Float32Array(batch) }), {
      differentiable: false,
    });
    const algorithm = api.eam({ solver: 'euler', steps: 2, renoisings: 2, delta: 0.3, modes: true });
    const { directory: run } = await api.finetune(
      config({ algorithm, rewards: [[values, 2], { name: 'stroke-weight', weight: 3 }], steps: 1 }),
    );
    expect(lines(run)[0].rewards).toEqual({ plain: 0, 'stroke-weight': expect.any(Number) });
    await expect(api.finetune(config({ rewards: [values] }))).rejects.toThrow('plain');
  });

  it('has a judge of the program read its evaluation', async () => {
    const judge: api.Judge = {
      name: 'mine',
      judge: async (_images, prompts) => ({
        matches: prompts.map(() => true),
        features: api.Tensor.from(
          Float32Array.from(prompts, (__, index) => index),
          [prompts.length, 1],
        ),
      }),
    };
    const { evaluation, directory: run } = await api.finetune(
      config({ steps: 1, evaluation: { count: 4, steps: 1, judge } }),
    );
    expect(evaluation?.after.accuracy).toBe(1);
    expect(read(run, 'config.json')['evaluation']).toMatchObject({ judge: { name: 'made-in-code', label: 'mine' } });
  });

  it.each([
    {
      change: { dtype: 'float32' as const },
      said: 'dtype: expected nothing beside a model that is loaded, got "float32"',
    },
    { change: { adapter: tinyAdapter }, said: 'adapter: expected nothing beside a model that is loaded' },
    {
      change: { device: 'cpu' },
      said: 'device: expected nothing beside a model that is loaded, got "cpu"; say it to loadModel',
    },
    { change: { image: { width: 8, height: 8 } }, said: 'image: expected nothing beside a model that is loaded' },
  ])('refuses to be told twice how a model is loaded: $said', async ({ change, said }) => {
    using model = await loaded();
    await expect(api.finetune({ ...around(model), ...change })).rejects.toThrow(said);
  });

  it('refuses a model without an adapter, and one that is disposed of, before a folder is made', async () => {
    using plain = await loaded({});
    const settings = around(plain);
    await expect(api.finetune(settings)).rejects.toThrow(
      'model: expected one with an adapter to train, got one without',
    );
    const gone = await loaded();
    gone.dispose();
    await expect(api.finetune({ ...settings, model: gone })).rejects.toThrow(api.DisposedError);
    expect(existsSync(settings.output!)).toBe(false);
  });

  it.each([
    { rewards: [{ name: 'mine' }], said: /rewards\[0\]\.name: expected one of "digit-classifier"/ },
    { rewards: [{ name: 'mine', score: 3 }], said: /rewards\[0\]/ },
    { rewards: [[api.strokeWeight(), 'x']], said: /rewards\[0\]\.weight: expected a number, got "x"/ },
    { rewards: [[api.strokeWeight(), Number.NaN]], said: /rewards\[0\]\.weight: expected a finite number, got NaN/ },
    { rewards: [[api.strokeWeight()]], said: /rewards\[0\]: expected an object/ },
    { rewards: api.strokeWeight(), said: /rewards: expected an array/ },
    { rewards: [() => 1], said: /rewards\[0\]: expected an object, got a function/ },
    { rewards: [{ name: 'made-in-code', label: 'x', weight: 1, reward: {} }], said: /that a program made, got none/ },
  ])('refuses rewards that are none: $said', async ({ rewards, said }) => {
    await expect(api.finetune(config({ rewards: rewards as never }))).rejects.toThrow(said);
  });

  it('plans for a model that is loaded as for the one that its folder holds', async () => {
    using model = await loaded();
    expect(await api.plan(around(model))).toEqual(await api.plan(config({ device: 'cpu' })));
  });
});

describe('defineConfig', () => {
  it('gives back what it is given', () => {
    const given = config();
    expect(api.defineConfig(given)).toBe(given);
    const pretrained: api.PretrainConfig = {
      model: { type: 'digits' },
      optimizer: { learningRate: 1 },
      steps: 1,
      output: 'x',
    };
    expect(api.defineConfig<'pretrain'>(pretrained)).toBe(pretrained);
  });
});
