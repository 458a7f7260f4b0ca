// The files of kohya's trainers, sd-scripts and musubi-tuner, and of ComfyUI: one safetensors file, with alpha as a
// tensor of each layer.
import { CheckpointError, ConfigError } from '../../errors.js';
import { disposeAll, saveTensors } from '../../files/safetensors.js';
import { Tensor } from '../../runtime/native/tensor.js';
import { expected } from '../../schema/validate.js';
import type { AdapterInfo } from '../model.js';
import type { SingleFileNetwork } from '../single-file.js';
import { toSingleNames } from './carry.js';
import { pairsOf } from './layout.js';
import { takesFromBase } from './settings.js';

/** Where the model that an adapter was trained on is recorded, as PEFT's settings call it. */
const baseKey = 'base_model_name_or_path';
/** Where sd-scripts and LyCORIS record the settings of the network that was trained. */
const argumentsKey = 'ss_network_args';

/** How each program writes the names of layers. */
const names = {
  kohya: (layer: string) => `lora_unet_${layer.replaceAll('.', '_')}`,
  comfyui: (layer: string) => `diffusion_model.${layer}`,
} as const;

/** The programs that read such files. */
export type KohyaLayoutName = keyof typeof names;

/**
 * Writes a file that kohya's trainers or ComfyUI load.
 * @param tensors under the names of the network's trainable tensors
 * @param network the network that they are of, as its published single files have it
 * @throws ConfigError for layers that the program applies no adapter to
 */
export async function writeKohya(
  path: string,
  tensors: Readonly<Record<string, Tensor>>,
  { rank, alpha }: AdapterInfo,
  base: string | undefined,
  layout: KohyaLayoutName,
  network: SingleFileNetwork,
): Promise<void> {
  // Sd-scripts takes 0 for the rank.
  if (alpha === 0) throw new ConfigError(expected(`${path}: alpha of the adapter`, 'a number other than 0', alpha));
  const pairs = await toSingleNames(pairsOf(tensors), network);
  const made: Record<string, Tensor> = {};
  try {
    if (layout === 'kohya') refuseLeftOut([...pairs.keys()], network, path);
    for (const [layer, { A, B, count }] of pairs) {
      const name = names[layout](layer);
      made[`${name}.lora_down.weight`] = A;
      made[`${name}.lora_up.weight`] = B;
      // The rank of several layers in one matrix is the sum of theirs: so that alpha/rank stays what it is.
      made[`${name}.alpha`] = scalar(count * alpha);
    }
    const metadata = { ss_network_dim: String(rank), ss_network_alpha: String(alpha) };
    await saveTensors(path, made, { format: 'pt', ...metadata, ...(base !== undefined && { [baseKey]: base }) });
  } finally {
    const given = new Set(Object.values(tensors));
    disposeAll(Object.values(made).filter((tensor) => !given.has(tensor)));
  }
}

/** Refuses layers that kohya's trainer would pass over. */
function refuseLeftOut(layers: readonly string[], { kohya }: SingleFileNetwork, path: string): void {
  const left = layers.filter((layer) => !kohya?.layers.test(layer));
  if (left.length === 0) return;
  throw new ConfigError(
    `${path}: ${kohya?.program ?? 'no trainer of kohya'} applies no adapter to ${left.join(', ')}: it would be left ` +
      'out there without a word; ComfyUI and diffusers apply it',
  );
}

/** One number: in float32, as others write it, where that has it exactly. */
const scalar = (value: number): Tensor =>
  Tensor.from([value], [], { dtype: Math.fround(value) === value ? 'float32' : 'float64' });

/** The model that an adapter says it was trained on. */
export const baseInMetadata = (metadata: Readonly<Record<string, string>>): string | undefined => metadata[baseKey];

/**
 * Refuses what a file's metadata says of its training that its tensors do not: that it began with a part of the model's
 * own weights, which were changed for it, or is of another kind.
 * @throws CheckpointError that names it
 */
export function refuseOtherTraining(metadata: Readonly<Record<string, string>>, path: string): void {
  const text = metadata[argumentsKey];
  if (text === undefined) return;
  let settings: unknown;
  try {
    settings = JSON.parse(text);
  } catch {
    return;
  }
  for (const [key, value] of Object.entries(settings ?? {})) {
    if (key === 'algo' && !plainAlgorithms.includes(String(value).toLowerCase()))
      throw new CheckpointError(
        expected(`${path}: ${argumentsKey}: algo`, plainAlgorithms.join(' or '), String(value)),
      );
    if (typeof value === 'string' && takesFromBase.test(value))
      throw new CheckpointError(
        `${path}: ${argumentsKey}: ${key} is "${value}": its first values were taken from the model's own weights, ` +
          'which it does not hold; only plain LoRA is applied here',
      );
  }
}

/** LyCORIS's names of plain LoRA. */
const plainAlgorithms = ['lora', 'locon'];
