// PEFT's settings of a LoRA adapter, which both layouts keep: what each of them means here.

import { z } from 'zod';

import { CheckpointError } from '../../errors.js';
import type { AdapterConfig } from './layout.js';

/** The parts of the settings that say which adapter it is. */
const readSchema = z.looseObject({
  r: z.int().min(1),
  lora_alpha: z.number(),
  target_modules: z.union([z.string(), z.array(z.string())]).nullish(),
  base_model_name_or_path: z.string().nullish(),
});

/** With these, the targets are not all that was adapted, and the tensors tell what was. */
const selections = ['exclude_modules', 'layers_to_transform', 'layers_pattern'];

/**
 * Settings that change neither the base weights nor what is added to them: where the adapter comes from, how its first
 * values were found, and how it was trained. Some belong to others that are refused.
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

/** PEFT can write what these took from the base weights into the adapter. */
const convertible = /^(pissa|olora|corda|lora_ga)/i;

const isEmpty = (value: unknown): boolean =>
  typeof value === 'object' && value !== null ? Object.keys(value).length === 0 : value == null || value === '';

/**
 * Reads PEFT's settings; `targets` is undefined where only the tensors tell what was adapted.
 * @throws CheckpointError for settings of another adapter than W + (alpha/rank) B A or, with `use_rslora`, W +
 * (alpha/√rank) B A, with one rank and alpha, and for any that are set and not known, by their names
 */
export function readLoraSettings(
  json: unknown,
  path: string,
): Pick<AdapterConfig, 'rank' | 'alpha' | 'base'> & { targets: string[] | undefined } {
  const parsed = readSchema.safeParse(json);
  if (!parsed.success) {
    const issue = parsed.error.issues[0]!;
    throw new CheckpointError(
      `${path} is not the configuration of a LoRA adapter: ${issue.path.join('.')}: ${issue.message}`,
    );
  }
  const { r, lora_alpha, target_modules, base_model_name_or_path, ...others } = parsed.data;
  const strange = Object.keys(others).filter((key) => !isPlain(key, others[key]));
  if (strange.length) {
    const hint = convertible.test(String(others['init_lora_weights']))
      ? "; this one changed the model's own weights, too: save it with PEFT's path_initial_model_for_weight_conversion"
      : '';
    throw new CheckpointError(
      `${path}: ${strange.map((key) => `${key} is ${JSON.stringify(others[key])}`).join(', ')}; ` +
        'supported is plain LoRA with one rank and one alpha: W + (alpha/rank) B A, or alpha/√rank with ' +
        `use_rslora${hint}`,
    );
  }
  const explicit =
    Array.isArray(target_modules) && target_modules.length > 0 && selections.every((key) => isEmpty(others[key]));
  return {
    rank: r,
    // Rank-stabilised (arXiv 2312.03732): of the same scale is plain LoRA with another alpha, which is how it goes on.
    alpha: others['use_rslora'] === true ? r * (lora_alpha / Math.sqrt(r)) : lora_alpha,
    targets: explicit ? target_modules : undefined,
    base: base_model_name_or_path ?? undefined,
  };
}

function isPlain(key: string, value: unknown): boolean {
  if (harmless.has(key) || isEmpty(value)) return true;
  const plain = plainValues[key];
  if (plain)
    return plain.includes(key === 'init_lora_weights' && typeof value === 'string' ? value.toLowerCase() : value);
  return value === false || value === 0;
}
