// Networks, by what can be done with them. Which ones there are, networks.generated.ts says.

import type { NativeWeightFiles } from './files.js';
import type { LoraConfig, NetworkKinds } from '../networks.generated.js';
import type { DType, Tensor } from '../tensor.js';

/** A velocity network in native memory. */
export interface NativeFlowModel {
  /** Names of the tensors that training changes, sorted as the network has them. */
  readonly trainableNames: string[];
  /** Names to tensors that share memory with the network's. */
  weights(): Record<string, Tensor>;
  /** The tensors that training changes, sharing the network's memory. */
  trainable(): Record<string, Tensor>;
  /** Copies into the network; every name must exist with its shape, CheckpointError lists what does not fit. */
  load(kind: 'weights' | 'trainable', tensors: Record<string, Tensor>): Promise<void>;
  /** Computes v(x, t), [B, …] float32, at one time a sample; `pretrained` switches the adapter off. */
  velocity(x: Tensor, t: Float32Array, conditioning: Tensor[], pretrained: boolean): Promise<Tensor>;
  /** `velocity` at `t`, and ∂(Σ upstream · velocity) with respect to x and to the trainable tensors of these names. */
  gradients(
    x: Tensor,
    t: Float32Array,
    conditioning: Tensor[],
    upstream: Tensor,
    names: readonly string[],
  ): Promise<{
    /** v(x, t), [B, …]. */
    velocity: Tensor;
    /** With respect to x, of its shape. */
    x: Tensor;
    /** With respect to each of `names`. */
    tensors: Record<string, Tensor>;
  }>;
  /** Makes images [B, channels, H, W] in [0, 1], not clamped, of latents [B, …] float32. */
  images(latents: Tensor): Promise<Tensor>;
}

/** A text encoder; `ids` is int64 [B, L], and so is `mask`: 1 where an id is of the text, 0 where it is padding. */
export interface NativeTextEncoder {
  /**
   * `hidden` [B, L, width]: what an image model attends to. `pooled` [B, projection]: one feature a text.
   * @throws ShapeError for a mask where the encoder attends to padding, too
   */
  encode(ids: Tensor, mask?: Tensor): Promise<{ hidden: Tensor; pooled?: Tensor }>;
  /** Frees the weights. */
  dispose(): void;
}

/** A KL autoencoder. Images are [B, 3, H, W] in [0, 1], not clamped. */
export interface NativeAutoencoder {
  decode(latents: Tensor): Promise<Tensor>;
  /** The images and ∂(Σ upstream · images)/∂latents. */
  decodeGradient(latents: Tensor, upstream: Tensor): Promise<{ images: Tensor; grad: Tensor }>;
  /** The posterior's mean, scaled and shifted as the latents that `decode` takes. */
  encode(images: Tensor): Promise<Tensor>;
  dispose(): void;
}

/** A published reward model. Images are [B, 3, H, W] in [0, 1], not clamped, of any size. */
export interface NativeImageReward {
  /**
   * One value an image; where wanted the gradient of their sum with respect to the images, and the features, from the
   * same pass. `ids` (int64 [B, L]) and `mask` where the reward reads prompts. `slice`: images that are scored at a
   * time; 0: all.
   */
  score(
    images: Tensor,
    ids: Tensor | undefined,
    mask: Tensor | undefined,
    wanted: { grad: boolean; features: boolean },
    slice: number,
  ): Promise<{ values: Float32Array; grad?: Tensor; features?: Tensor }>;
  /** What the image tower sees: resized, cropped or padded, normalised, [B, 3, size, size]. */
  preprocess(images: Tensor): Promise<Tensor>;
  /** The image tower's feature, L2-normalised, [B, F]: what the diversity of a set of images is measured in. */
  features(images: Tensor, slice: number): Promise<Tensor>;
  dispose(): void;
}

/** A differentiable classifier of images. */
export interface NativeClassifier {
  weights(): Record<string, Tensor>;
  load(tensors: Record<string, Tensor>): Promise<void>;
  /** log p(label | image) for each image and its gradient (of the sum) with respect to the images. */
  logProbability(
    images: Tensor,
    labels: Int32Array,
    wantGrad: boolean,
  ): Promise<{ values: Float32Array; grad?: Tensor; predicted: Int32Array; features: Tensor }>;
  /** One cross-entropy forward and backward, labels smoothed in [0, 1); gradients are added to the weights'. */
  accumulate(images: Tensor, labels: Int32Array, labelSmoothing: number): Promise<{ loss: number; correct: number }>;
}

/** From the names of interfaces to what JavaScript has of them. */
interface Interfaces {
  FlowModel: NativeFlowModel;
  TextEncoder: NativeTextEncoder;
  Autoencoder: NativeAutoencoder;
  ImageReward: NativeImageReward;
  Classifier: NativeClassifier;
}

export type NetworkKind = keyof NetworkKinds;

/** A network of a kind. */
export type NativeNetwork<Kind extends NetworkKind> = Interfaces[NetworkKinds[Kind]['interface']];

/** What a network is made of. ConfigError for what its kind has no use for. */
export interface NetworkParts<Kind extends NetworkKind> {
  config: NetworkKinds[Kind]['config'];
  device: string;
  /** What it computes in; undefined: what its weights are stored in. */
  dtype?: DType | undefined;
  /** The seed of weights that no file holds. */
  seed?: bigint | undefined;
  /** The adapter to train. */
  lora?: LoraConfig | undefined;
  /** Keep one block's activations at a time and compute them again in the backward pass. */
  checkpointing?: boolean | undefined;
  /** What makes images of its latents. */
  autoencoder?: NativeAutoencoder | undefined;
}

export interface NetworkBinding {
  /** A small network with fresh weights, at once. */
  newNetwork<Kind extends NetworkKind>(kind: Kind, parts: NetworkParts<Kind>): NativeNetwork<Kind>;
  /**
   * A network with the weights of its files, under their names: whatever is missing, misshapen or left over is a
   * CheckpointError that lists it.
   */
  loadNetwork<Kind extends NetworkKind>(
    kind: Kind,
    parts: NetworkParts<Kind> & { weights: NativeWeightFiles | Record<string, Tensor> },
  ): Promise<NativeNetwork<Kind>>;
  /** Names and shapes of a network's tensors, and the names of the linear layers that an adapter can be trained on. */
  networkLayout<Kind extends NetworkKind>(
    kind: Kind,
    config: NetworkKinds[Kind]['config'],
  ): { tensors: Record<string, number[]>; adaptable: string[] };
}
