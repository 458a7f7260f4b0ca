import { z } from 'zod';

import { CheckpointError } from '../../errors.js';
import type { TensorEntry } from '../../files/safetensors-header.js';
import type { Tensor } from '../../runtime/native/tensor.js';
import type { AdapterInfo } from '../model.js';
import { expected } from '../../schema/validate.js';

/**
 * The names of the layouts in which adapters are read and written: PEFT's own folder, or the file that diffusers loads.
 */
export type AdapterLayoutName = 'peft' | 'diffusers';

/** An adapter's settings, as its files say them. */
export interface AdapterConfig extends AdapterInfo {
  /** How the directory keeps it. */
  layout: AdapterLayoutName;
  /** The model it was trained on, where the file says so. */
  base: string | undefined;
  /** No file says alpha: it is taken to be the rank, as diffusers takes it. */
  alphaAssumed: boolean;
}

/** A way to keep an adapter's tensors and settings in a directory. A new one is an entry in adapter.ts. */
export interface AdapterLayout {
  readonly name: AdapterLayoutName;
  readonly tensorsFile: string;
  /** What the directory holds: any of them tells the layout. */
  readonly files: readonly string[];
  /** What the tensors' names begin with, before the module's. */
  readonly prefix: string;
  readConfig(directory: string): Promise<AdapterConfig>;
  /** @param tensors under the modules' own names */
  write(
    directory: string,
    tensors: Readonly<Record<string, Tensor>>,
    adapter: AdapterInfo,
    base: string | undefined,
  ): Promise<void>;
}

/**
 * Both layouts keep PEFT's settings; these make an adapter that is not W + (alpha/rank) B A with one rank and alpha.
 */
const unsupported = [
  'use_dora',
  'use_rslora',
  'lora_bias',
  'fan_in_fan_out',
  'rank_pattern',
  'alpha_pattern',
  'modules_to_save',
  'layer_replication',
];
/** With these, the targets are not all that was adapted. */
const selections = ['exclude_modules', 'layers_to_transform', 'layers_pattern'];

const settingsSchema = z.looseObject({
  r: z.int().min(1),
  lora_alpha: z.number(),
  target_modules: z.union([z.string(), z.array(z.string())]).nullish(),
  bias: z.literal('none').nullish(),
  base_model_name_or_path: z.string().nullish(),
});

/** Whether a setting is there and says something. */
const isSet = (value: unknown): boolean =>
  typeof value === 'object' && value !== null ? Object.keys(value).length > 0 : Boolean(value);

/**
 * Reads PEFT's settings; `targets` is undefined where only the tensors tell what was adapted.
 * @throws CheckpointError for settings that are not a plain LoRA adapter's
 */
export function readLoraSettings(
  json: unknown,
  path: string,
): Pick<AdapterConfig, 'rank' | 'alpha' | 'base'> & { targets: string[] | undefined } {
  const parsed = settingsSchema.safeParse(json);
  if (!parsed.success) {
    const issue = parsed.error.issues[0]!;
    throw new CheckpointError(
      `${path} is not the configuration of a LoRA adapter: ${issue.path.join('.')}: ${issue.message}`,
    );
  }
  const { r, lora_alpha, target_modules, base_model_name_or_path, ...others } = parsed.data;
  const strange = unsupported.filter((key) => isSet(others[key]));
  if (strange.length) {
    throw new CheckpointError(
      `${path}: ${strange.map((key) => `${key} is ${JSON.stringify(others[key])}`).join(', ')}; ` +
        'supported is plain LoRA with one rank and one alpha: W + (alpha/rank) B A',
    );
  }
  const explicit =
    Array.isArray(target_modules) && target_modules.length > 0 && !selections.some((key) => isSet(others[key]));
  return {
    rank: r,
    alpha: lora_alpha,
    targets: explicit ? target_modules : undefined,
    base: base_model_name_or_path ?? undefined,
  };
}

const tensorName = /^(.+)\.lora_([AB])\.weight$/;
const foreign =
  /(^|\.)lora_(unet|te|te1|te2|te3|transformer)_|lora_(down|up)|\.lora\.(down|up)|\.alpha$|dora_scale|hada_|lokr_/;

/**
 * The modules that a file's tensors adapt, under their own names.
 * @param rank what both tensors of every module must have; undefined: the same one, whichever
 * @throws CheckpointError that lists what does not fit
 */
export function adaptedModules(
  entries: readonly TensorEntry[],
  prefix: string,
  rank: number | undefined,
  path: string,
): { modules: string[]; rank: number } {
  const stranger = entries.find(({ name }) => foreign.test(name));
  if (stranger) {
    throw new CheckpointError(
      `${path}: tensor "${stranger.name}" is of another layout, such as kohya's; supported are PEFT's ` +
        "(base_model.model.MODULE.lora_A.weight) and diffusers' (transformer.MODULE.lora_A.weight), without " +
        'tensors of alpha',
    );
  }
  const problems: string[] = [];
  const ranks = new Map<string, { A?: number; B?: number }>();
  for (const { name, shape } of entries) {
    const match = name.startsWith(prefix) ? tensorName.exec(name.slice(prefix.length)) : undefined;
    if (!match || shape.length !== 2) {
      problems.push(
        `${name} [${shape.join(', ')}] is not ${prefix}MODULE.lora_A.weight [rank, in] or lora_B.weight [out, rank]`,
      );
      continue;
    }
    const [, module, part] = match as unknown as [string, string, 'A' | 'B'];
    ranks.set(module, { ...ranks.get(module), [part]: part === 'A' ? shape[0]! : shape[1]! });
  }
  const wanted = rank ?? [...ranks.values()][0]?.A;
  for (const [module, { A, B }] of ranks) {
    if (A === undefined || B === undefined) problems.push(`${module} has lora_${A === undefined ? 'B' : 'A'} only`);
    else if (A !== wanted || B !== wanted)
      problems.push(expected(`${module}: rank`, String(wanted), A === B ? A : `${A} and ${B}`));
  }
  if (ranks.size === 0) problems.push('it holds no adapter tensors');
  if (problems.length) {
    const listed = problems.slice(0, 8).join('\n  ');
    throw new CheckpointError(
      `${path} is not a LoRA adapter of one rank:\n  ` +
        `${listed}${problems.length > 8 ? `\n  and ${problems.length - 8} more` : ''}`,
    );
  }
  return { modules: [...ranks.keys()].sort(), rank: wanted! };
}
