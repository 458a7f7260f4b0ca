import { CheckpointError } from '../../errors.js';
import type { TensorEntry } from '../../files/safetensors-header.js';
import {
  fromSingleFile,
  moved,
  type MovedComponent,
  type MovedTensor,
  type SingleFileEntry,
} from '../moved-tensors.js';
import type { SingleFileNetwork } from '../single-file.js';
import { autoencoderNames, transformerNames } from './single-file-keys.js';

/** A part of the file: what its names begin with, and which folder and file of diffusers' layout it becomes. */
interface Section {
  prefixes: readonly string[];
  folder: string;
  file: string;
  /** Left out by one whose tensors have transformers' own names behind the prefix. */
  network?: SingleFileNetwork;
}

/** Not weights: a buffer of numbers from 0, and the scale of CLIP's loss. */
const isNoWeight = (name: string): boolean => /(^|\.)(position_ids|logit_scale)$/.test(name);

const section = (network: SingleFileNetwork, otherPrefix: string): Section => ({
  prefixes: [network.prefix, otherPrefix],
  folder: network.folder,
  file: 'diffusion_pytorch_model.safetensors',
  network,
});

const textEncoder = (name: string, folder: string): Section => ({
  prefixes: [`text_encoders.${name}.transformer.`],
  folder,
  file: 'model.safetensors',
});

const sections: readonly Section[] = [
  section(transformerNames, 'diffusion_model.'),
  section(autoencoderNames, 'vae.'),
  textEncoder('clip_l', 'text_encoder'),
  textEncoder('clip_g', 'text_encoder_2'),
  textEncoder('t5xxl', 'text_encoder_3'),
];

/** Whether the names are those of a single file of Stable Diffusion 3. */
export const isSd3SingleFile = (entries: readonly TensorEntry[]): boolean =>
  entries.some(({ name }) => /^(model\.)?(diffusion_model\.)?joint_blocks\.0\.context_block\./.test(name));

/**
 * The components in a single file of Stable Diffusion 3 or 3.5, under the names that diffusers and transformers give
 * their tensors. A file whose names have no prefix holds the transformer alone.
 * @throws CheckpointError that lists names which belong to no part of the model
 */
export function sd3Components(entries: readonly TensorEntry[], path: string): MovedComponent[] {
  const isBare = entries.some(({ name }) => name.startsWith('joint_blocks.'));
  const strangers: string[] = [];
  const found = new Map<Section, SingleFileEntry[]>();
  for (const entry of entries) {
    if (isNoWeight(entry.name)) continue;
    const named = sections.find(({ prefixes }) => prefixes.some((prefix) => entry.name.startsWith(prefix)));
    const owner = named ?? (isBare ? sections[0] : undefined);
    const prefix = named?.prefixes.find((each) => entry.name.startsWith(each)) ?? '';
    if (!owner) strangers.push(entry.name);
    else found.set(owner, [...(found.get(owner) ?? []), { entry, name: entry.name.slice(prefix.length) }]);
  }
  const components = [...found].map(([{ folder, file, network }, members]) => {
    const own = network
      ? fromSingleFile(network, members)
      : { tensors: members.map(({ entry, name }) => moved(entry, name)), strangers: [] };
    strangers.push(...own.strangers);
    return { folder, file, tensors: folder === 'text_encoder' ? withProjection(own.tensors) : own.tensors };
  });
  if (strangers.length) {
    const more = strangers.length > 8 ? ` and ${strangers.length - 8} more` : '';
    throw new CheckpointError(
      `${path} has tensors that belong to no part of this model: ${strangers.slice(0, 8).join(', ')}${more}`,
    );
  }
  return components;
}

/** The number 1 in the types that weights are stored in, in the bytes of the file. */
const one: Readonly<Record<string, readonly number[]>> = {
  float32: [0, 0, 0x80, 0x3f],
  bfloat16: [0x80, 0x3f],
  float16: [0, 0x3c],
  float8_e4m3fn: [0x38],
  float8_e5m2: [0x3c],
};

/** CLIP-L's projection, which single files leave out, is the identity, as diffusers' loader has it. */
function withProjection(tensors: readonly MovedTensor[]): MovedTensor[] {
  const name = 'text_projection.weight';
  const like = tensors.find((tensor) => tensor.name.endsWith('final_layer_norm.weight'));
  if (!like || tensors.some((tensor) => tensor.name === name)) return [...tensors];
  const number = one[like.stored ?? like.dtype];
  if (!number) return [...tensors];
  const [width = 0] = like.shape;
  const bytes = new Uint8Array(width * width * number.length);
  for (let row = 0; row < width; row++) bytes.set(number, (row * width + row) * number.length);
  return [...tensors, { ...like, name, shape: [width, width], ranges: [], bytes }];
}
