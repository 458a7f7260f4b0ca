// The text encoders of the tiny Stable Diffusion 3.5, and smaller ones of other shapes.
import type { ClipTextConfig, T5EncoderConfig } from '../../lib/runtime/native/binding.js';
import { binding } from '../../lib/runtime/native/index.js';
import type { DType, Tensor } from '../../lib/runtime/native/tensor.js';
import { sd35Tensors } from './published.js';

export const clipL: ClipTextConfig = {
  width: 12,
  intermediate: 24,
  layers: 3,
  heads: 2,
  activation: 'quick_gelu',
  layerNormEpsilon: 1e-5,
  projection: 12,
  vocabulary: 49408,
  positions: 77,
  eosToken: 49407,
};
export const clipG: ClipTextConfig = {
  ...clipL,
  width: 16,
  intermediate: 32,
  heads: 4,
  activation: 'gelu',
  projection: 16,
};
export const t5: T5EncoderConfig = {
  vocabulary: 160,
  width: 32,
  keyWidth: 8,
  intermediate: 48,
  layers: 2,
  heads: 4,
  relativeBuckets: 32,
  relativeMaxDistance: 128,
  layerNormEpsilon: 1e-6,
  feedForward: 'gated-gelu',
};
export const smallClip: ClipTextConfig = {
  width: 12,
  intermediate: 20,
  layers: 1,
  heads: 3,
  activation: 'gelu',
  layerNormEpsilon: 1e-3,
  projection: 5,
  vocabulary: 33,
  positions: 9,
  eosToken: undefined,
};
export const smallT5: T5EncoderConfig = {
  vocabulary: 40,
  width: 12,
  keyWidth: 5,
  intermediate: 20,
  layers: 1,
  heads: 3,
  relativeBuckets: 8,
  relativeMaxDistance: 20,
  layerNormEpsilon: 1e-5,
  feedForward: 'relu',
};

export const goldens = await sd35Tensors('goldens');
export const files = {
  clipL: await sd35Tensors('text_encoder/model'),
  clipG: await sd35Tensors('text_encoder_2/model'),
  t5: await sd35Tensors('text_encoder_3/model'),
};
export type Tensors = Record<string, Tensor>;
export const loadClip = (config: ClipTextConfig, tensors: Tensors, dtype?: DType) =>
  binding().loadNetwork('clip-text', { config, weights: tensors, dtype, device: 'cpu' });
export const loadT5 = (config: T5EncoderConfig, tensors: Tensors, dtype?: DType) =>
  binding().loadNetwork('t5-encoder', { config, weights: tensors, dtype, device: 'cpu' });
export const clipTextShapes = (config: ClipTextConfig) => binding().networkLayout('clip-text', config).tensors;
export const t5Shapes = (config: T5EncoderConfig) => binding().networkLayout('t5-encoder', config).tensors;
export const ids = (name: string): Promise<Tensor> => goldens[`ids.${name}`]!.to({ dtype: 'int64' });
