import { join } from 'node:path';

import { z } from 'zod';

import { ConfigError } from '../../errors.js';
import { recipeNames, recipesDirectory } from '../../runtime/package.js';
import { readJson } from '../../schema/json.js';
import { closest, expected, validate } from '../../schema/validate.js';

/** One setting of a recipe: what the protocol's authors gave, with its place, or what is ours, with why. */
const settingSchema = z
  .strictObject({
    /** A key of `eam finetune`'s configuration, or of the recipe's `evaluation`, as `--set` names it. */
    set: z.string().min(1),
    value: z.json(),
    /** Where the authors give it. */
    source: z.string().min(1).optional(),
    /** Why it is what it is, where they do not, or have something else. */
    ours: z.string().min(1).optional(),
    /** What they have instead. */
    published: z.json().optional(),
    /** It says whether it is a method's own choice, in which rows of one table may differ. */
    method: z.boolean().default(false),
  })
  .refine(({ source, ours }) => (source === undefined) !== (ours === undefined), 'expected either a source or ours');

/** A file of a data set of the hub's, of which the prompts are taken. */
const promptSourceSchema = z.strictObject({
  dataset: z.string().min(1),
  file: z.string().min(1),
  /** How many prompts the published set has. */
  count: z.int().min(1).optional(),
  /** Prompts in which this regular expression finds something are left out, as the authors do. */
  without: z.string().min(1).optional(),
});

const rewardSchema = z.strictObject({
  /** Papers write it so. */
  title: z.string().min(1),
  /** A configuration names it so; its folder is found. */
  config: z.looseObject({ name: z.string().min(1) }),
  /** What is added to it in training. The first reward is trained towards. */
  training: z.record(z.string(), z.json()).default({}),
  /** Settings with the folder of another reward, where its own folder lacks what they name. */
  beside: z.record(z.string(), z.string()).optional(),
});

const recipeSchema = z.strictObject({
  title: z.string().min(1),
  source: z.string().min(1),
  model: z.strictObject({ name: z.string().min(1), like: z.string().min(1), title: z.string().min(1) }),
  rewards: z.array(rewardSchema).min(1),
  prompts: z.strictObject({ training: promptSourceSchema, evaluation: promptSourceSchema }),
  seeds: z.strictObject({ first: z.int().min(0), count: z.int().min(1) }),
  settings: z.array(settingSchema),
  published: z.strictObject({
    source: z.string().min(1),
    rows: z.array(z.strictObject({ name: z.string().min(1), values: z.record(z.string(), z.number()) })),
  }),
});

/** A published protocol: what is trained and how, what is evaluated on which prompts, and what others got. */
export type Recipe = z.output<typeof recipeSchema>;
export type RecipeSetting = z.output<typeof settingSchema>;
export type PromptSource = z.output<typeof promptSourceSchema>;
export type RecipeReward = z.output<typeof rewardSchema>;

/** What a recipe that extends another says: the rest is the other's. */
const extendedSchema = recipeSchema.partial().extend({
  extends: z.string(),
  prompts: recipeSchema.shape.prompts.partial().default({}),
  settings: recipeSchema.shape.settings.default([]),
});

/** Reads a recipe that comes with the package. @throws ConfigError for a name that none has */
export async function readRecipe(name: string): Promise<Recipe> {
  const names = recipeNames();
  if (!names.includes(name)) {
    const near = closest(name, names);
    const hint = near === undefined ? '' : `; did you mean ${near}?`;
    throw new ConfigError(expected('recipe', `one of ${names.join(', ')}`, name) + hint);
  }
  const source = `recipe ${name}`;
  const json = await readJson(join(recipesDirectory, `${name}.json`));
  if (typeof json !== 'object' || json === null || !('extends' in json)) return validate(recipeSchema, json, source);
  const { extends: base, prompts, settings, ...own } = validate(extendedSchema, json, source);
  const other = await readRecipe(base);
  const replaced = new Set(settings.map(({ set }) => set));
  const kept = other.settings.filter(({ set }) => !replaced.has(set));
  const merged = { ...other, ...own, prompts: { ...other.prompts, ...prompts }, settings: [...kept, ...settings] };
  return validate(recipeSchema, merged, source);
}
