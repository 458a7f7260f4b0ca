import { mkdtempSync, readFileSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';

import { eam } from '../../lib/training/algorithms.js';
import { readCompareConfig } from '../../lib/jobs/compare/config.js';
import { finetuneSchema, readFinetuneConfig } from '../../lib/jobs/settings/finetune.js';
import { readPretrainConfig } from '../../lib/jobs/pretrain/config.js';
import { applyOverrides, readJson } from '../../lib/schema/json.js';
import { validate } from '../../lib/schema/validate.js';
import { digitOf } from '../../lib/models/digits/prompts.js';
import { ConfigError } from '../../lib/errors.js';
import { learningRateAt } from '../../lib/training/schedule.js';
import { tinySd3 } from '../helpers/sd3.js';

const minimal = {
  model: 'digits',
  prompts: ['3'],
  rewards: [{ name: 'stroke-weight' }],
  algorithm: { name: 'eam' },
  optimizer: { learningRate: 1e-3 },
  steps: 10,
};

const messageOf = (config: unknown): string => {
  try {
    validate(finetuneSchema, config, 'config.json');
  } catch (error) {
    expect(error).toBeInstanceOf(ConfigError);
    return (error as Error).message;
  }
  throw new Error('the configuration was accepted');
};

describe('a finetune configuration', () => {
  it('fills in defaults', async () => {
    const config = await readFinetuneConfig(minimal, 'config.json');
    expect(config).toMatchObject({
      device: 'auto',
      batch: 32,
      adapter: { rank: 8, alpha: 16 },
      algorithm: { name: 'eam', C: 1, delta: 0.1, terminal: 'consistent', solver: 'heun', steps: 8, renoisings: 4 },
      checkpoints: { every: 100, keep: 2 },
      rewards: [{ name: 'stroke-weight', weight: 1, scale: 10 }],
    });
    expect(config.evaluation).toBeUndefined();
  });

  it.each([
    { model: 'digits', own: { steps: 20, solver: 'heun', guidance: 1 } },
    { model: tinySd3, own: { steps: 28, solver: 'euler', guidance: 4.5 } },
  ])('draws samples as the model $model does where it does not say how', async ({ model, own }) => {
    const config = { ...minimal, model, evaluation: { guidance: 3 } };
    expect(await readFinetuneConfig(config, '')).toMatchObject({ samples: own, evaluation: { ...own, guidance: 3 } });
    const { algorithm, steps, optimizer: _, ...common } = minimal;
    const contenders = ['A', 'B'].map((name) => ({ name, algorithm, learningRate: 1 }));
    const compared = { ...common, model, contenders, budget: { steps }, tracking: { solver: 'midpoint' } };
    expect(await readCompareConfig(compared)).toMatchObject({
      samples: own,
      evaluation: own,
      tracking: { ...own, solver: 'midpoint' },
    });
  });

  it.each([
    {
      change: { algorithm: { name: 'eam', C: 0.5 } },
      expected: 'config.json: algorithm.C: expected a number above 0.5, got 0.5',
    },
    { change: { algorithm: { name: 'eam', delta: 1 } }, expected: 'algorithm.delta: expected a number below 1, got 1' },
    {
      change: { algorithm: { name: 'eam', lamda: 2 } },
      expected: 'algorithm.lamda: unknown key; did you mean "lambda"?',
    },
    {
      change: { algorithm: { name: 'ppo' } },
      expected: 'algorithm.name: expected one of "eam", "am", "refl", "draft", "alignprop", got "ppo"',
    },
    { change: { steps: '10' }, expected: 'steps: expected a number, got "10"' },
    { change: { steps: 1.5 }, expected: 'steps: expected a whole number, got 1.5' },
    { change: { optimizer: {} }, expected: 'optimizer.learningRate: expected a number, but it is missing' },
    {
      change: { optimizer: { learningRate: 1, betas: [0.9] } },
      expected: 'optimizer.betas: expected an array of at least 2 items, got [0.9]',
    },
    {
      change: { rewards: [{ name: 'stroke-weight', wieght: 1 }] },
      expected: 'rewards[0].wieght: unknown key; did you mean "weight"?',
    },
    { change: { rewards: [] }, expected: 'rewards: expected an array of at least 1 items, got []' },
    {
      change: { dtype: 'float8' },
      expected: 'dtype: expected one of "float32", "float64", "bfloat16", "float16", got "float8"',
    },
    { change: { device: 'gpu' }, expected: 'device: expected "auto", "cpu", "cuda" or "cuda:N", got "gpu"' },
    { change: { sample: {} }, expected: 'sample: unknown key; did you mean "samples"?' },
    {
      change: { checkpoints: { interval: 3 } },
      expected: 'checkpoints.interval: unknown key; known keys: every, keep',
    },
  ])('is refused by its path: $change', ({ change, expected }) => {
    expect(messageOf({ ...minimal, ...change })).toContain(expected);
  });

  it('is refused with every mistake at once', () => {
    const message = messageOf({ ...minimal, steps: 0, batch: 'x' });
    expect(message.split('\n')).toEqual([
      'config.json:',
      '  steps: expected a number of at least 1, got 0',
      '  batch: expected a number, got "x"',
    ]);
  });

  it('is refused where it is not an object', () => {
    expect(messageOf([])).toBe('config.json: the configuration: expected an object, got []');
  });
});

describe('the recipes in configs/', () => {
  it.each([
    { name: 'quickstart.json', read: (config: unknown) => validate(finetuneSchema, config, 'quickstart') },
    { name: 'sd35-medium.json', read: (config: unknown) => validate(finetuneSchema, config, 'sd35-medium') },
    { name: 'flux2-klein-4b.json', read: (config: unknown) => validate(finetuneSchema, config, 'flux2-klein-4b') },
    { name: 'pretrain-digits.json', read: readPretrainConfig },
    { name: 'pretrain-classifier.json', read: readPretrainConfig },
    { name: 'pretrain-judge.json', read: readPretrainConfig },
  ])('are valid: $name', async ({ name, read }) => {
    const config: unknown = JSON.parse(readFileSync(new URL(`../../configs/${name}`, import.meta.url), 'utf8'));
    await expect(Promise.resolve(read(config))).resolves.toBeDefined();
  });

  it('train classifier and judge from different seeds', () => {
    const seedOf = (name: string) =>
      JSON.parse(readFileSync(new URL(`../../configs/${name}`, import.meta.url), 'utf8')).seed;
    expect(seedOf('pretrain-classifier.json')).not.toBe(seedOf('pretrain-judge.json'));
  });
});

describe('the overrides of a configuration', () => {
  it('set nested values, read as JSON where they are JSON', () => {
    const config = { a: { b: 1 }, list: [{ w: 1 }] };
    expect(applyOverrides(config, ['a.b=2', 'a.c=text', 'list.0.w=3', 'new.deep=[1,2]', 'a.d=x=y'])).toEqual({
      a: { b: 2, c: 'text', d: 'x=y' },
      list: [{ w: 3 }],
      new: { deep: [1, 2] },
    });
    expect(config).toEqual({ a: { b: 1 }, list: [{ w: 1 }] });
  });

  it.each(['steps', '=3', 'a.b.c=1', '__proto__.x=1'])('refuse %s', (setting) => {
    expect(() => applyOverrides({ a: { b: 1 } }, [setting])).toThrow(ConfigError);
    expect(({} as Record<string, unknown>)['x']).toBeUndefined();
  });
});

describe('readJson', () => {
  it('says what is wrong with a file', async () => {
    const folder = mkdtempSync(join(tmpdir(), 'eam-config-'));
    const broken = join(folder, 'broken.json');
    writeFileSync(broken, '{"a": 1');
    await expect(readJson(broken)).rejects.toThrow(/broken\.json is not valid JSON/);
    await expect(readJson(join(folder, 'missing.json'))).rejects.toThrow(/cannot read .*missing\.json/);
  });
});

describe('eam()', () => {
  it('checks its options', () => {
    expect(eam({ C: 2 }).options).toMatchObject({ C: 2, lambda: 1, steps: 8 });
    expect(() => eam({ C: 0.4 })).toThrow('eam options: C: expected a number above 0.5, got 0.4');
    expect(() => eam({ stesp: 3 } as object)).toThrow('stesp: unknown key; did you mean "steps"?');
  });
});

describe('a digit prompt', () => {
  it.each([
    { prompt: '3', digit: 3 },
    { prompt: 'a handwritten 7', digit: 7 },
    { prompt: 'A bold Three', digit: 3 },
    { prompt: 'zero', digit: 0 },
  ])('asks in $prompt for $digit', ({ prompt, digit }) => {
    expect(digitOf(prompt)).toBe(digit);
  });

  it.each(['', 'a cat', '42', '3 or 4', '-', 'three 3'])('is refused as "%s"', (prompt) => {
    expect(() => digitOf(prompt)).toThrow(ConfigError);
  });
});

describe('the learning rate', () => {
  const settings = validate(
    finetuneSchema,
    { ...minimal, optimizer: { learningRate: 2, warmup: 4, schedule: 'cosine', floor: 0.1 } },
    '',
  ).optimizer;

  it('warms up, then follows a cosine to its floor', () => {
    expect([0, 1, 2, 3].map((step) => learningRateAt(settings, step, 104))).toEqual([0.5, 1, 1.5, 2]);
    expect(learningRateAt(settings, 4, 104)).toBe(2);
    expect(learningRateAt(settings, 54, 104)).toBeCloseTo(2 * 0.55, 12);
    expect(learningRateAt(settings, 104, 104)).toBeCloseTo(0.2, 12);
    expect(learningRateAt(settings, 400, 104)).toBeCloseTo(0.2, 12);
  });

  it('stays constant where asked', () => {
    expect(learningRateAt({ ...settings, schedule: 'constant' }, 80, 104)).toBe(2);
  });
});
