// The package's surface is documented: the site that TypeDoc builds has a text for every export and every member, what
// it says of options is what the schemas that check them do, and its guides are there, in their groups, with links that
// lead somewhere.
import { spawnSync } from 'node:child_process';
import { existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';

import { afterAll, beforeAll, describe, expect, expectTypeOf, it } from 'vitest';
import type { z } from 'zod';

import {
  adjointMatchingSchema,
  type AdjointMatchingOptions,
  type AlgorithmSettings,
  type algorithmSchema,
  type EamOptions,
  eamSchema,
} from '../../lib/training/algorithms.js';
import { alignPropSchema, draftSchema, reflSchema } from '../../lib/training/backpropagation.js';
import { optimizerSchema, type OptimizerOptions, type OptimizerSettings } from '../../lib/training/settings.js';
import type { problemSchema, Problem } from '../../lib/jobs/fidelity/problem.js';
import { fidelitySchema, type FidelitySettings } from '../../lib/jobs/fidelity/settings.js';
import type { quadraticOptionsSchema, QuadraticOptions } from '../../lib/rewards/quadratic.js';
import { type HttpRewardOptions, httpOptionsSchema } from '../../lib/rewards/services/http.js';
import { type OpenaiRewardOptions, openaiOptionsSchema } from '../../lib/rewards/services/openai.js';
import type { TorchScriptModel, torchScriptSchema } from '../../lib/models/torchscript/settings.js';
import { strokeWeightOptionsSchema, type StrokeWeightOptions } from '../../lib/rewards/stroke-weight.js';
import { brokenPages } from '../../scripts/docs/links.mjs';
import { settingsSchema, type TrainerOptions } from '../../lib/training/trainer-options.js';

const root = fileURLToPath(new URL('../..', import.meta.url));
const folder = mkdtempSync(join(tmpdir(), 'eam-api-'));
afterAll(() => rmSync(folder, { recursive: true, force: true }));

/** What TypeDoc's JSON holds of a declaration, as far as it is read here. */
interface Declaration {
  name: string;
  children?: Declaration[];
  type?: { types?: { declaration?: Declaration }[]; declaration?: Declaration };
  comment?: { blockTags?: { tag: string; content: { text: string }[] }[] };
}

interface Site {
  children: Declaration[];
  documents: { name: string; frontmatter: { group: string } }[];
}

let exported: Declaration[];
let documents: Site['documents'];
beforeAll(() => {
  const json = join(folder, 'api.json');
  mkdirSync(join(folder, 'api'));
  writeFileSync(join(folder, 'api', 'of-an-older-version.html'), '');
  const program = join(root, 'node_modules', 'typedoc', 'bin', 'typedoc');
  const run = spawnSync(process.execPath, [program, '--json', json, '--html', join(folder, 'api')], {
    cwd: root,
    encoding: 'utf8',
  });
  // A member without a text is a warning, and typedoc.json makes warnings errors.
  expect({ status: run.status, said: run.stderr.replace(/^npm warn.*\n/gm, '') }).toEqual({ status: 0, said: '' });
  const { children, documents: listed } = JSON.parse(readFileSync(json, 'utf8')) as Site;
  exported = children[0]!.children!;
  documents = listed;
});

const membersOf = ({ children, type }: Declaration): Declaration[] =>
  children ??
  type?.declaration?.children ??
  type?.types?.flatMap(({ declaration }) => declaration?.children ?? []) ??
  [];

/** The stated defaults of an export's members, nested ones as `a.b`. */
function statedDefaults(declaration: Declaration, prefix = ''): Record<string, unknown> {
  return Object.assign(
    {},
    ...membersOf(declaration).map((member) => {
      const tag = member.comment?.blockTags?.find((entry) => entry.tag === '@defaultValue');
      const text = tag?.content
        .map((part) => part.text)
        .join('')
        .replace(/^```\w*\n?|\n?```$/g, '');
      const own = text === undefined ? {} : { [prefix + member.name]: new Function(`return (${text})`)() as unknown };
      return { ...own, ...statedDefaults(member, `${prefix}${member.name}.`) };
    }),
  ) as Record<string, unknown>;
}

const named = (name: string): Declaration =>
  exported.find((entry) => entry.name === name) ?? expect.fail(`${name} is not in the reference`);

/** Scalars and lists of a checked object, nested ones as `a.b`. */
function flat(value: object, prefix = ''): Record<string, unknown> {
  return Object.assign(
    {},
    ...Object.entries(value).map(([name, entry]: [string, unknown]) =>
      typeof entry === 'object' && entry !== null && !Array.isArray(entry)
        ? flat(entry, `${prefix}${name}.`)
        : { [prefix + name]: entry },
    ),
  ) as Record<string, unknown>;
}

const without = (values: Record<string, unknown>, left: readonly string[]) =>
  Object.fromEntries(
    Object.entries(values).filter(([name]) => !left.some((prefix) => name === prefix || name.startsWith(`${prefix}.`))),
  );

describe("the API's reference", () => {
  it('is written anew, into an empty folder, whenever the package is packed', () => {
    expect(existsSync(join(folder, 'api', 'index.html'))).toBe(true);
    expect(existsSync(join(folder, 'api', 'of-an-older-version.html'))).toBe(false);
    const { scripts } = JSON.parse(readFileSync(join(root, 'package.json'), 'utf8')) as {
      scripts: Record<string, string>;
    };
    expect(scripts['prepack']).toMatch(/&& npm run docs$/);
    expect(scripts['docs']).toBe('node scripts/docs/site.mjs');
  });

  it('shows every option of an algorithm, not the name of a schema', () => {
    const page = readFileSync(join(folder, 'api', 'interfaces', 'eam-torch.EamOptions.html'), 'utf8');
    for (const name of Object.keys(eamSchema.shape)) expect(page).toContain(`id="${name.toLowerCase()}"`);
    for (const name of [
      'AdjointMatchingOptions',
      'FidelityConfig',
      'FidelitySettings',
      'OptimizerOptions',
      'Problem',
      'QuadraticOptions',
      'StrokeWeightOptions',
    ]) {
      expect(membersOf(named(name)).length, name).toBeGreaterThan(0);
    }
  });

  const required = {
    algorithm: { name: 'eam' as const },
    optimizer: { learningRate: 1 },
    steps: 1,
    batch: 1,
    evaluateEvery: 1,
  };
  it.each([
    { name: 'EamOptions', checked: eamSchema.parse({}), left: [] },
    { name: 'AdjointMatchingOptions', checked: adjointMatchingSchema.parse({}), left: [] },
    { name: 'ReflOptions', checked: reflSchema.parse({}), left: [] },
    { name: 'DraftOptions', checked: draftSchema.parse({}), left: [] },
    { name: 'AlignPropOptions', checked: alignPropSchema.parse({}), left: [] },
    { name: 'OptimizerOptions', checked: optimizerSchema.parse({ learningRate: 1 }), left: ['learningRate'] },
    { name: 'StrokeWeightOptions', checked: strokeWeightOptionsSchema.parse({}), left: [] },
    { name: 'HttpRewardOptions', checked: httpOptionsSchema.parse({ url: 'http://h/' }), left: ['url'] },
    { name: 'OpenaiRewardOptions', checked: openaiOptionsSchema.parse({ model: 'm' }), left: ['model'] },
    { name: 'FidelitySettings', checked: fidelitySchema.parse(required), left: Object.keys(required) },
    { name: 'FidelityConfig', checked: fidelitySchema.parse(required), left: Object.keys(required) },
    {
      name: 'CheckpointOptions',
      checked: settingsSchema.shape.checkpoints.parse({ directory: 'x' })!,
      left: ['directory'],
    },
  ])('states the defaults of $name', ({ name, checked, left }) => {
    expect(statedDefaults(named(name))).toEqual(without(flat(checked), left));
  });
});

describe('the guides of the site', () => {
  it('are there under their names, in the groups of docs/README.md', () => {
    const groups = new Map<string, string[]>();
    for (const { name, frontmatter } of documents)
      groups.set(frontmatter.group, [...(groups.get(frontmatter.group) ?? []), name]);
    expect([...groups.keys()]).toEqual(
      'Start, Models, Rewards, Runs, Evidence, Reference, For contributors'.split(', '),
    );
    expect(groups.get('For contributors')).toContain('Contributing');
    const page = readFileSync(join(folder, 'api', 'guides', 'tuning.html'), 'utf8');
    expect(page).toMatch(/<title>Five knobs/);
  });

  it('begin with the README, and can be searched', () => {
    expect(readFileSync(join(folder, 'api', 'index.html'), 'utf8')).toContain('npm run quickstart');
    expect(existsSync(join(folder, 'api', 'assets', 'search.js'))).toBe(true);
  });

  it('link to what is there, as every page does', () => expect(brokenPages(join(folder, 'api'))).toEqual([]));
});

describe('the types of options', () => {
  it('accept what the schemas accept and hold what they give', () => {
    expectTypeOf<EamOptions>().branded.toEqualTypeOf<z.input<typeof eamSchema>>();
    expectTypeOf<AdjointMatchingOptions>().branded.toEqualTypeOf<z.input<typeof adjointMatchingSchema>>();
    expectTypeOf<AlgorithmSettings>().branded.toEqualTypeOf<z.output<typeof algorithmSchema>>();
    expectTypeOf<OptimizerOptions>().branded.toEqualTypeOf<z.input<typeof optimizerSchema>>();
    expectTypeOf<OptimizerSettings>().branded.toEqualTypeOf<z.output<typeof optimizerSchema>>();
    expectTypeOf<Problem>().branded.toEqualTypeOf<z.output<typeof problemSchema>>();
    expectTypeOf<FidelitySettings>().branded.toEqualTypeOf<z.output<typeof fidelitySchema>>();
    expectTypeOf<QuadraticOptions>().branded.toEqualTypeOf<z.input<typeof quadraticOptionsSchema>>();
    expectTypeOf<StrokeWeightOptions>().branded.toEqualTypeOf<z.input<typeof strokeWeightOptionsSchema>>();
    expectTypeOf<HttpRewardOptions>().branded.toEqualTypeOf<z.input<typeof httpOptionsSchema>>();
    expectTypeOf<TorchScriptModel>().branded.toEqualTypeOf<z.input<typeof torchScriptSchema>>();
    expectTypeOf<OpenaiRewardOptions>().branded.toEqualTypeOf<z.input<typeof openaiOptionsSchema>>();
    expectTypeOf<TrainerOptions['checkpoints']>().branded.toEqualTypeOf<
      z.input<typeof settingsSchema>['checkpoints']
    >();
  });
});
