import type { TensorEntry } from '../../files/safetensors-header.js';
import type { MovedComponent } from '../moved-tensors.js';
import { componentsIn, networkPart, type SingleFilePart, textEncoderPart } from '../single-file-parts.js';
import { autoencoderNames, transformerNames } from './single-file-keys.js';

const autoencoder = networkPart(autoencoderNames, 'first_stage_model.', /^decoder\.up\.0\.block\.0\./);

/** A checkpoint has them all; the files that are published for ComfyUI have one each, without a prefix. */
const parts: readonly SingleFilePart[] = [
  networkPart(transformerNames, 'diffusion_model.', /^double_stream_modulation_img\.lin\./),
  autoencoder,
  // A file of the autoencoder may have diffusers' own names.
  { prefixes: [], alone: /^decoder\.up_blocks\.0\./, folder: autoencoder.folder, file: autoencoder.file },
  textEncoderPart(['qwen3_4b', 'qwen3_8b'], 'text_encoder', /^model\.layers\.0\.self_attn\.q_norm\./),
];

/** Names that no file of another kind of model has: FLUX.1 modulates each block, its autoencoder has no batch norm. */
const marks = [
  /^(model\.)?(diffusion_model\.)?double_stream_modulation_img\.lin\.weight$/,
  /^bn\.running_mean$/,
  /^model\.layers\.0\.self_attn\.q_norm\.weight$/,
];

/** Tells whether the names are those of a single file of FLUX.2, or of its autoencoder or its text encoder alone. */
export const isFlux2SingleFile = (entries: readonly TensorEntry[]): boolean =>
  marks.some((mark) => entries.some(({ name }) => mark.test(name)));

/**
 * The components in a single file of FLUX.2 [klein], under the names that diffusers and transformers give their
 * tensors: a checkpoint, or the transformer, the autoencoder or the text encoder alone.
 * @throws CheckpointError that lists names which belong to no part of the model, or for a matrix of several layers
 *   whose rows are not theirs
 */
export const flux2Components = (entries: readonly TensorEntry[], path: string): MovedComponent[] =>
  componentsIn(
    parts,
    // ComfyUI saves the weights of norms under this name.
    entries.map((entry) => ({ ...entry, name: entry.name.replace(/(\.(?:query|key)_norm)\.weight$/, '$1.scale') })),
    path,
  );
