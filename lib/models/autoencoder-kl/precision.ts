import type { DecoderPrecision } from '../model.js';

/** How a decoder computes where nobody says. */
export const defaultDecoder = (device: string): DecoderPrecision => (device === 'cpu' ? 'float32' : 'tf32');

/** What an autoencoder's weights are loaded as, so that its decoder computes so. */
export const decoderDtype = (decoder: DecoderPrecision): 'bfloat16' | 'float32' =>
  decoder === 'bfloat16' ? 'bfloat16' : 'float32';
