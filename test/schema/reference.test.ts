// What is written from the schemas of configurations: the reference page, the JSON Schemas and the types.
import { spawnSync } from 'node:child_process';
import { readdirSync, readFileSync } from 'node:fs';
import { dirname, join, relative, resolve } from 'node:path';
import { fileURLToPath } from 'node:url';

import { Ajv2020 } from 'ajv/dist/2020.js';
import { describe, expect, expectTypeOf, it } from 'vitest';
import type { z } from 'zod';

import { configurations } from '../../lib/jobs/configurations.js';
import type { compareSchema } from '../../lib/jobs/compare/config.js';
import type { distillSchema } from '../../lib/jobs/distill/config.js';
import { readPretrainConfig } from '../../lib/jobs/pretrain/config.js';
import type {
  CompareConfig,
  DistillConfig,
  FinetuneConfig,
  RewardConfig,
} from '../../lib/jobs/settings/config.generated.js';
import type { finetuneSchema } from '../../lib/jobs/settings/finetune.js';
import type { Model } from '../../lib/models/model.js';
import type { Algorithm } from '../../lib/training/algorithm.js';
import { outputs } from '../../scripts/config/outputs.mjs';
import { marked } from '../../scripts/config/json-schema.mjs';

const root = fileURLToPath(new URL('../..', import.meta.url));
const text = (path: string) => readFileSync(join(root, path), 'utf8');
type Json = Record<string, unknown>;
const json = (path: string) => JSON.parse(text(path)) as Json;

interface Member {
  path: string;
  node: Json;
  isRequired: boolean;
}

/** Every named member in a schema, by its path. */
function members(node: unknown, path = ''): Member[] {
  if (typeof node !== 'object' || node === null) return [];
  // What a program made has no place in a file.
  if ((node as Json)['code']) return [];
  if (Array.isArray(node)) return node.flatMap((each) => members(each, path));
  const required = ((node as Json)['required'] ?? []) as string[];
  return Object.entries(node).flatMap(([key, value]: [string, unknown]) => {
    if (key === 'default') return [];
    if (key !== 'properties') return members(value, path);
    return Object.entries(value as Json).flatMap(([name, member]) => [
      { path: `${path}.${name}`, node: member as Json, isRequired: required.includes(name) },
      ...members(member, `${path}.${name}`),
    ]);
  });
}

describe('what is written from the schemas of configurations', () => {
  const biome = join(root, 'node_modules', '@biomejs', 'biome', 'bin', 'biome');
  const formatted = (path: string, written: string) =>
    spawnSync(process.execPath, [biome, 'format', `--stdin-file-path=${path}`], {
      cwd: root,
      input: written,
      encoding: 'utf8',
    }).stdout;

  it.each(Object.entries(outputs(configurations)))('is in %s as `npm run generate` writes it', (path, written) => {
    expect(text(path)).toBe(formatted(path, written));
  });

  it('says of every key of every configuration, in sentences, what it is', () => {
    const all = Object.entries(configurations).flatMap(([job, schema]) => members(marked(schema), job));
    expect(all.length).toBeGreaterThan(300);
    const mute = all.filter(
      ({ node }) => !/^(\p{Lu}|\p{Script=Greek}|[a-z] |log ).*[a-z].*\.$/su.test(String(node['description'])),
    );
    expect([...new Set(mute.map(({ path, node }) => `${path}: ${node['description']}`))]).toEqual([]);
  });

  it('says of every optional key without a default what holds where it is left out', () => {
    const all = Object.entries(configurations).flatMap(([job, schema]) => members(marked(schema), job));
    const open = all.filter(({ node, isRequired }) => !isRequired && node['default'] === undefined);
    expect(open.length).toBeGreaterThan(90);
    const told = /\bleft out\b|; without it |Where nothing is said here/i;
    const mute = open.filter(({ node }) => !told.test(String(node['description'])));
    expect([...new Set(mute.map(({ path, node }) => `${path}: ${node['description']}`))]).toEqual([]);
  });

  it('has a line in the reference for every key, with its default and its range', () => {
    const page = text('docs/configuration.md').replaceAll(/ +/g, ' ');
    for (const name of ['evaluation.count', 'contenders[].budget.steps', 'teacher.guidance', 'sampling.trainedUntil'])
      expect(page).toContain(`| \`${name}\` |`);
    expect(page).toMatch(/\| `C` \| number \| `1` \| above 0\.5 \| C weighs the two parts/);
    expect(page).toMatch(/\| `betas` \| \[number, number\] \| `\[0\.9,0\.99\]` \| each at least 0 and below 1 \|/);
    expect(page).toMatch(/\| `steps` \| whole number \| required \| at least 1 \|/);
    expect(page).toMatch(/\| `prompts` \| string or list of string \| required \|/);
    expect(page).toMatch(/\| `panel` \| object \| those of its keys \|/);
    expect(page).toMatch(/\| `panel\.judges` \| list of [^|]+ \| `\[\]` \|/);
    expect(page).toMatch(
      /\| `panel\.steps` \| whole number \| \| at least 1 \| .*; left out, the algorithm's number\./,
    );
    const keys = Object.entries(configurations).flatMap(([job, schema]) => members(marked(schema), job));
    const missing = keys.filter(({ path }) => !page.includes(`${path.split('.').at(-1)}\` |`));
    expect(missing.map(({ path }) => path)).toEqual([]);
  });

  it('names nothing that only code can make in a JSON Schema', () => {
    for (const file of readdirSync(join(root, 'schemas')))
      expect(text(`schemas/${file}`)).not.toMatch(/made-in-code|"typescript"|"also"|"code"/);
  });
});

describe('the published JSON Schemas', () => {
  const validator = (file: string) => new Ajv2020({ strict: true, allErrors: true }).compile(json(file));
  const shipped = ['configs', 'assets/problems'].flatMap((folder) =>
    readdirSync(join(root, folder)).map((name) => `${folder}/${name}`),
  );
  const schemaOf = (file: string) =>
    file.startsWith('configs/')
      ? relative(root, resolve(root, dirname(file), json(file)['$schema'] as string))
      : 'schemas/problem.schema.json';

  it.each(shipped)('accept %s, as ajv reads them', (file) => {
    const validate = validator(schemaOf(file));
    validate(json(file));
    expect(validate.errors).toBeNull();
  });

  const quickstart = json('configs/quickstart.json');
  const eam = quickstart['algorithm'] as Json;
  it.each([
    { change: { stepz: 3 }, why: 'an unknown key' },
    { change: { steps: 0 }, why: 'a number below its range' },
    { change: { steps: 1.5 }, why: 'a fraction for a whole number' },
    { change: { steps: '10' }, why: 'a text for a number' },
    { change: { algorithm: { ...eam, C: 0.5 } }, why: 'the open end of a range' },
    { change: { algorithm: { ...eam, solver: 'rk4' } }, why: 'an unknown choice' },
    { change: { algorithm: { name: 'ppo' } }, why: 'an unknown algorithm' },
    { change: { algorithm: { name: 'am', C: 1 } }, why: 'an option of another algorithm' },
    { change: { rewards: [] }, why: 'no reward' },
    { change: { rewards: [{ name: 'stroke-weight', directory: 'x' }] }, why: 'a key of another reward' },
    { change: { rewards: [{ name: 'torchscript' }] }, why: 'a reward without its file' },
    { change: { rewards: [{ name: 'made-in-code', label: 'x' }] }, why: 'a reward that a program made' },
    { change: { prompts: [] }, why: 'no prompts' },
    { change: { prompts: '' }, why: 'a file without a name' },
    { change: { prompts: [''] }, why: 'an empty prompt' },
    { change: { device: 'gpu' }, why: 'an unknown device' },
    { change: { optimizer: {} }, why: 'a missing key' },
    { change: { optimizer: { learningRate: 1, betas: [0.9] } }, why: 'half a pair' },
    { change: { $schema: 3 }, why: 'an address that is none' },
  ])('and the command line both refuse $why', ({ change }) => {
    const bad = { ...quickstart, ...change };
    expect(validator('schemas/finetune.schema.json')(bad)).toBe(false);
    expect(configurations.finetune.safeParse(bad).success).toBe(false);
  });

  it.each([
    { prompts: 'README.md' },
    { algorithm: { name: 'eam', modes: true } },
    { algorithm: { name: 'eam', modes: { times: 2 } } },
    { evaluation: undefined },
    { samples: {} },
    { rewards: [{ name: 'http', url: 'http://localhost:1/', cache: { directory: 'x' } }] },
  ])('and the command line both accept %j', (change) => {
    const good = JSON.parse(JSON.stringify({ ...quickstart, ...change })) as Json;
    const validate = validator('schemas/finetune.schema.json');
    validate(good);
    expect(validate.errors).toBeNull();
    expect(configurations.finetune.safeParse(good).error).toBeUndefined();
  });

  it('tell a recipe from another by the type of its model', async () => {
    const classifier = { ...json('configs/pretrain-classifier.json'), labelDropout: 0.1 };
    expect(validator('schemas/pretrain.schema.json')(classifier)).toBe(false);
    await expect(readPretrainConfig(classifier)).rejects.toThrow('labelDropout: unknown key');
  });
});

describe('the exported types of configurations', () => {
  it('take what the schemas take, and what a program made', () => {
    type Written<Schema extends z.ZodType> = z.input<Schema>;
    type Common = 'model' | 'prompts' | 'rewards' | 'algorithm' | 'evaluation' | 'panel' | 'contenders';
    expectTypeOf<Omit<Written<typeof finetuneSchema>, Common>>().toExtend<Omit<FinetuneConfig, Common>>();
    expectTypeOf<Omit<Written<typeof distillSchema>, Common>>().toExtend<Omit<DistillConfig, Common>>();
    expectTypeOf<Omit<Written<typeof compareSchema>, Common>>().toExtend<Omit<CompareConfig, Common>>();
    expectTypeOf<string | { module: string } | Model>().toExtend<FinetuneConfig['model']>();
    expectTypeOf<Algorithm>().toExtend<FinetuneConfig['algorithm']>();
    expectTypeOf<{ name: 'stroke-weight' }>().toExtend<RewardConfig>();
    expectTypeOf<{ name: 'stroke-weight'; scal: number }>().not.toEqualTypeOf<RewardConfig>();
    expectTypeOf<{ name: 'eam'; C: number }>().toExtend<FinetuneConfig['algorithm']>();
  });
});
