// Every option is described once, natively; here the description is tried on all that reads it.
import { spawnSync } from 'node:child_process';
import { fileURLToPath } from 'node:url';

import { beforeAll, describe, expect, it } from 'vitest';
import type { z } from 'zod';

import { ConfigError } from '../../lib/errors.js';
import type { NativeFlowModel } from '../../lib/runtime/native/binding.js';
import { binding } from '../../lib/runtime/native/index.js';
import {
  adamWOptionsSchema,
  adjointMatchingOptionsSchema,
  eamOptionsSchema,
  reflOptionsSchema,
} from '../../lib/runtime/native/options.generated.js';
import { validate } from '../../lib/schema/validate.js';
import { alignPropSchema, draftSchema } from '../../lib/training/backpropagation.js';
import { tinyLora, tinyModel } from '../helpers/tiny-model.js';

const root = fileURLToPath(new URL('../..', import.meta.url));

it('options.generated.ts says what the native descriptions say', () => {
  const { status, stderr } = spawnSync(process.execPath, ['scripts/generate.mjs', '--check'], {
    cwd: root,
    encoding: 'utf8',
  });
  expect({ status, stderr }).toEqual({ status: 0, stderr: '' });
});

let model: NativeFlowModel;
beforeAll(async () => {
  model = await tinyModel(tinyLora);
});

const tables: [string, z.ZodObject, (options: object) => unknown][] = [
  ['Eam', eamOptionsSchema, (options) => new (binding().Eam)(model, options)],
  ['AdjointMatching', adjointMatchingOptionsSchema, (options) => new (binding().AdjointMatching)(model, options)],
  ['Refl', reflOptionsSchema, (options) => new (binding().Refl)(model, options)],
  ['Draft', draftSchema, (options) => new (binding().Draft)(model, options)],
  ['AlignProp', alignPropSchema, (options) => new (binding().AlignProp)(model, options)],
  ['AdamW', adamWOptionsSchema, (options) => new (binding().AdamW)(model, options)],
];

const candidates = [
  ...[-1e300, -1, -1e-9, 0, 5e-324, 0.25, 0.5, 0.75, 1, 1 + 2 ** -52, 1.5, 2, 2 ** 31 - 1, 2 ** 31, 2 ** 53, 1e300],
  ...[Number.NaN, Number.POSITIVE_INFINITY, Number.NEGATIVE_INFINITY],
  ...[
    true,
    false,
    null,
    'heun',
    'plugin',
    'pretrained',
    'adjoint_matching',
    '1',
    '',
    'a "quoted" word',
    'x'.repeat(200),
    3n,
  ],
];

/** What is said of a bad value, without the name of who says it; undefined where it is taken. */
function refusal(attempt: () => unknown): string | undefined {
  try {
    attempt();
    return undefined;
  } catch (error) {
    expect(error).toBeInstanceOf(ConfigError);
    return (error as Error).message.replace(/^\w+: /, '');
  }
}

describe.each(tables)('the options of %s', (name, schema, construct) => {
  it.each(Object.keys(schema.shape))('take and refuse the same values of %s in TypeScript and natively', (option) => {
    const given = candidates.flatMap((value) => [value, [value, 0.5], [0.5, value]]);
    const scalars = Array.isArray(schema.parse({})[option]) ? given : candidates;
    const found = (attempt: (options: object) => unknown) =>
      scalars.map((value) => ({ value, refusal: refusal(() => attempt({ [option]: value })) }));
    const native = found(construct);
    expect(native).toEqual(found((options) => validate(schema, options, name)));
    expect(native.some(({ refusal }) => refusal === undefined)).toBe(true);
    const refused = native.flatMap(({ value, refusal }) => (refusal === undefined ? [] : [value].flat()));
    expect(refused.some((value) => Number.isFinite(value))).toBe(true);
    expect(refused.some((value) => typeof value === 'string')).toBe(true);
  });

  it('name a key that is not known, and which was meant', () => {
    const words = [Object.keys(schema.shape)[0]!.slice(1), 'epsilom', 'lamda', 'decodeSliced', 'entirelyUnknown'];
    for (const word of words) {
      const native = refusal(() => construct({ [word]: 1 }));
      expect(native).toMatch(new RegExp(`^${word}: unknown key; (did you mean ".+"\\?|known keys: .+)$`));
      expect(native).toBe(refusal(() => validate(schema, { [word]: 1 }, name)));
    }
  });

  it.each([undefined, null, 1, 'x', [], new Float32Array(1)])('are refused where they are %o', (value) => {
    expect(refusal(() => construct(value as never))).toMatch(/^expected an object, (got|but it is missing)/);
  });
});
