import type { TensorEntry } from '../../files/safetensors-header.js';
import type { MovedComponent, MovedTensor } from '../moved-tensors.js';
import { componentsIn, networkPart, type SingleFilePart, textEncoderPart } from '../single-file-parts.js';
import { autoencoderNames, transformerNames } from './single-file-keys.js';

const parts: readonly SingleFilePart[] = [
  networkPart(transformerNames, 'diffusion_model.', /^joint_blocks\./),
  networkPart(autoencoderNames, 'vae.'),
  textEncoderPart(['clip_l'], 'text_encoder'),
  textEncoderPart(['clip_g'], 'text_encoder_2'),
  textEncoderPart(['t5xxl'], 'text_encoder_3'),
];

/** Whether the names are those of a single file of Stable Diffusion 3. */
export const isSd3SingleFile = (entries: readonly TensorEntry[]): boolean =>
  entries.some(({ name }) => /^(model\.)?(diffusion_model\.)?joint_blocks\.0\.context_block\./.test(name));

/**
 * The components in a single file of Stable Diffusion 3 or 3.5, under the names that diffusers and transformers give
 * their tensors. A file whose names have no prefix holds the transformer alone.
 * @throws CheckpointError that lists names which belong to no part of the model
 */
export const sd3Components = (entries: readonly TensorEntry[], path: string): MovedComponent[] =>
  componentsIn(parts, entries, path).map((component) =>
    component.folder === 'text_encoder' ? { ...component, tensors: withProjection(component.tensors) } : component,
  );

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
