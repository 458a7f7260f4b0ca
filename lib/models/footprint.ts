import type { AdapterOptions, DecoderPrecision, ImageSize, ModelDType } from './model.js';
import type { DType } from '../runtime/native/binding.js';

/** Bytes of a number. */
export const elementBytes: Readonly<Record<ModelDType, number>> = { float64: 8, float32: 4, bfloat16: 2, float16: 2 };

export const isFloating = (dtype: DType): dtype is ModelDType => Object.hasOwn(elementBytes, dtype);

/** One network: how many numbers it has in memory, and as what. */
export interface ComponentFootprint {
  /** The name of its folder in the model, such as `transformer`. */
  name: string;
  /** How many numbers it has. */
  parameters: number;
  /** What each is stored as. */
  dtype: ModelDType;
}

/** One that is in memory all the time. */
export interface NetworkFootprint extends ComponentFootprint {
  /** Whether it stays the memory map of its files, of which nothing is in memory before it is first evaluated. */
  mapped: boolean;
}

/** How a model is loaded, as far as memory depends on it. */
export interface FootprintOptions {
  device: string;
  dtype: ModelDType;
  adapter: AdapterOptions;
  size: ImageSize | undefined;
  checkpointing: boolean;
  textLength: number | undefined;
  decoder?: DecoderPrecision | undefined;
  textEncoders?: 'whole' | 'sliced' | undefined;
  /** What it is to be asked for, and led away from: what of it is in the cache need not be encoded. */
  prompts: readonly string[];
  negativePrompt: string | undefined;
}

/** Floating-point operations of an evaluation, and of the backward pass from it. */
export interface WayOperations {
  forward: number;
  backward: number;
}

/** Operations of one sample, matrix products and convolutions alone. */
export interface ModelOperations {
  /** With the adapter; the backward pass is to it. */
  trained: WayOperations;
  /** Without it; the backward pass is to the latents. */
  pretrained: WayOperations;
  /** Latents to images; the backward pass is to the latents. */
  decoder: WayOperations;
}

/**
 * What a model takes, from its configuration and its files' headers; bytes, if not said otherwise. What grows with the
 * batch is a function of how many samples are in one evaluation, and is what comes on top of the networks themselves.
 */
export interface ModelFootprint {
  /** In memory all the time. */
  networks: readonly NetworkFootprint[];
  /** Distinct prompts, and those that are yet to be encoded. */
  prompts: { count: number; missing: number };
  /** In memory, beside the others, while prompts are encoded. */
  encoders: readonly ComponentFootprint[];
  /** Numbers that are trained, float32. */
  trainable: number;
  /** Copies of the adapted layers' weights, which the adapter is folded into. */
  folded: number;
  /** Numbers of one latent and of one image, float32. */
  latent: number;
  image: number;
  /** What one prompt is encoded to. */
  conditioning: number;
  /** Encoding of the missing prompts. */
  encode: number;
  /** Images that are drawn at a time where nobody says. */
  sampleBatch: number;
  operations: ModelOperations;
  /** How images are decoded. */
  decoder: DecoderPrecision;
  /** Whether the rates of docs/performance.md were measured with a network of its kind. */
  hasMeasuredRates?: boolean;
  /** An evaluation without gradient. */
  evaluate(samples: number): number;
  /** An evaluation and the backward pass to the trained tensors. */
  train(samples: number): number;
  /** An evaluation of the pretrained network and the backward pass to its input. */
  vjp(samples: number): number;
  /** Latents to images without gradient. */
  decode(samples: number): number;
  /** What the backward pass from images to latents keeps, and what it takes on top while it is gone. */
  decodeGradient(samples: number): number;
}
