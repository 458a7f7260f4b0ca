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
        expected(
          'a tensor',
          `${prefix}MODULE.lora_A.weight [rank, in] or lora_B.weight [out, rank]`,
          `${name} [${shape.join(', ')}]`,
        ),
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
