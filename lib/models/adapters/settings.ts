// PEFT's settings of a LoRA adapter, which both layouts keep: what each of them means here.

import { z } from 'zod';

import { CheckpointError } from '../../errors.js';
import { expected } from '../../schema/validate.js';

/** The parts of the settings that say which adapter it is. */
const readSchema = z.looseObject({
  r: z.int().min(1),
  lora_alpha: z.number(),
  target_modules: z.union([z.string(), z.array(z.string())]).nullish(),
  base_model_name_or_path: z.string().nullish(),
  rank_pattern: z.unknown().optional(),
  alpha_pattern: z.unknown().optional(),
});

/** What an adapter's settings say of it. */
export interface AdapterSettings {
  /** Undefined where only the tensors tell what was adapted. */
  targets: string[] | undefined;
  base: string | undefined;
  /** The rank and alpha of a layer's update. */
  of(layer: string): { rank: number; alpha: number };
}

/**
 * Where one of these settings is given, not every layer that the targets name was adapted, so that the tensors tell
 * which layers were.
 */
const selections = ['exclude_modules', 'layers_to_transform', 'layers_pattern'];

/**
 * Settings that change neither the base weights nor what is added to them: where the adapter comes from, how its first
 * values were found, and how it was trained. Some have a meaning only beside other settings, which are refused.
 */
const harmless = new Set([
  ...selections,
  'auto_mapping',
  'corda_config',
  'ensure_weight_tying',
  'eva_config',
  'inference_mode',
  'loftq_config',
  'lora_dropout',
  'lora_ga_config',
  'megatron_core',
  'peft_version',
  'qalora_group_size',
  'revision',
  'runtime_config',
  'task_type',
  'velora_config',
]);

/** Settings whose values for a plain adapter are not null, false or empty. */
const plainValues: Readonly<Record<string, readonly unknown[]>> = {
  bias: ['none'],
  // Ways to find the adapter's first values. All others take something away from the base weights.
  init_lora_weights: [true, false, 'gaussian', 'eva', 'orthogonal', 'mica'],
  peft_type: ['LORA'],
  // Another scale: see `alpha` below.
  use_rslora: [true, false, 0],
};

/** First values that were taken from the base weights; PEFT can write what was taken into the adapter. */
export const takesFromBase = /^(pissa|olora|corda|lora_ga)/i;

const isEmpty = (value: unknown): boolean =>
  typeof value === 'object' && value !== null ? Object.keys(value).length === 0 : value == null || value === '';

/**
 * Reads PEFT's settings.
 * @throws CheckpointError for settings of another adapter than W + (alpha/rank) B A or, with `use_rslora`, W +
 * (alpha/√rank) B A, and for any that are set and not known, by their names
 */
export function readLoraSettings(json: unknown, path: string): AdapterSettings {
  const parsed = readSchema.safeParse(json);
  if (!parsed.success) {
    const issue = parsed.error.issues[0]!;
    throw new CheckpointError(
      `${path} is not the configuration of a LoRA adapter: ${issue.path.join('.')}: ${issue.message}`,
    );
  }
  const { r, lora_alpha, target_modules, base_model_name_or_path, rank_pattern, alpha_pattern, ...others } =
    parsed.data;
  const ranks = patternOf(rank_pattern, z.int().min(1), `${path}: rank_pattern`);
  const alphas = patternOf(alpha_pattern, z.number(), `${path}: alpha_pattern`);
  const strange = Object.keys(others).filter((key) => !isPlain(key, others[key]));
  if (strange.length) {
    const hint = takesFromBase.test(String(others['init_lora_weights']))
      ? "; this one changed the model's own weights, too: save it with PEFT's path_initial_model_for_weight_conversion"
      : '';
    throw new CheckpointError(
      `${path}: ${strange.map((key) => `${key} is ${JSON.stringify(others[key])}`).join(', ')}; ` +
        `supported is plain LoRA: W + (alpha/rank) B A, or alpha/√rank with use_rslora${hint}`,
    );
  }
  const explicit =
    Array.isArray(target_modules) && target_modules.length > 0 && selections.every((key) => isEmpty(others[key]));
  return {
    targets: explicit ? target_modules : undefined,
    base: base_model_name_or_path ?? undefined,
    of(layer) {
      const rank = ofLayer(ranks, layer) ?? r;
      const alpha = ofLayer(alphas, layer) ?? lora_alpha;
      // Rank-stabilised (arXiv 2312.03732): plain LoRA with another alpha has the same scale, and is how it goes on.
      return { rank, alpha: others['use_rslora'] === true ? rank * (alpha / Math.sqrt(rank)) : alpha };
    },
  };
}

/**
 * The rank or alpha of layers that have another, by their names or the ends of them. PEFT takes regular expressions,
 * too.
 */
function patternOf(value: unknown, number: z.ZodNumber, where: string): Record<string, number> {
  if (isEmpty(value) || value === false || value === 0) return {};
  const parsed = z.record(z.string().regex(/^[\w.]+$/), number).safeParse(value);
  if (parsed.success) return parsed.data;
  throw new CheckpointError(expected(where, 'numbers by names of layers or ends of them', JSON.stringify(value)));
}

/** The first entry whose name is the layer's or, from a dot on, the end of it, as PEFT looks for one. */
const ofLayer = (pattern: Readonly<Record<string, number>>, layer: string): number | undefined =>
  Object.entries(pattern).find(([name]) => layer === name || layer.endsWith(`.${name}`))?.[1];

function isPlain(key: string, value: unknown): boolean {
  if (harmless.has(key) || isEmpty(value)) return true;
  const plain = plainValues[key];
  if (plain)
    return plain.includes(key === 'init_lora_weights' && typeof value === 'string' ? value.toLowerCase() : value);
  return value === false || value === 0;
}
