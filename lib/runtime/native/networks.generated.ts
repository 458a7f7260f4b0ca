// Written by `npm run generate` from native/nn/kind_list.h and native/nn/**/*_options.cpp: change those, not this.

/** This is a low-rank adapter (LoRA, arXiv 2106.09685), y = W x + b + (alpha/rank) B A x. */
export interface LoraConfig {
  /** The update B A has this rank. It is a whole number, at least 1. */
  rank: number;
  /** The update is scaled by alpha / rank. */
  alpha: number;
  /** Layers are adapted whose names end in one of these, after a dot or whole, such as 'attn.qkv'. */
  targets: readonly string[];
  /** A is drawn from this seed. */
  seed: bigint;
  /**
   * True adds the update to a copy of the adapted layers' weights for as long as a rollout takes, or the drawing of a
   * batch, which are faster then.
   * @defaultValue true
   */
  fold?: boolean | undefined;
}

/** These are the sizes of a class-conditional diffusion transformer on pixels (DiT, arXiv 2212.09748). */
export interface DigitsModelConfig {
  /** Images are square, with this many pixels a side; a multiple of patchSize. It is a whole number, at least 1. */
  imageSize: number;
  /** An image has this many channels. It is a whole number, at least 1. */
  channels: number;
  /** A token stands for a square of pixels with this side. It is a whole number, at least 1. */
  patchSize: number;
  /** A token has this many numbers; a multiple of heads and of 4. It is a whole number, at least 1. */
  width: number;
  /** The network has this many blocks. It is a whole number, at least 1. */
  depth: number;
  /** Attention has this many heads. It is a whole number, at least 1. */
  heads: number;
  /** The feed-forward layers are this much wider inside than the tokens. It is above 0. */
  mlpRatio: number;
  /** Labels are 0 to classes − 1; label `classes` stands for none. It is a whole number, at least 1. */
  classes: number;
  /**
   * This is the variance of the pixels of its images about their mean, black at −1 and white at 1. It is above 0.
   * @defaultValue 0.38
   */
  latentVariance?: number | undefined;
}

/** These are the sizes of a small convolutional classifier of images. */
export interface DigitClassifierConfig {
  /** Images are square, with this many pixels a side. It is a whole number, at least 1. */
  imageSize: number;
  /** An image has this many channels. It is a whole number, at least 1. */
  channels: number;
  /** The convolutions have these numbers of channels; each halves the image. Each is a whole number, at least 1. */
  widths: readonly number[];
  /** The layer before the last has this many numbers. It is a whole number, at least 1. */
  features: number;
  /** Labels are 0 to classes − 1. It is a whole number, at least 1. */
  classes: number;
}

/**
 * This is the distribution Σ weights_i N(means_i, std² I), and a control network that is trained on top of its flow.
 */
export interface GaussianMixtureConfig {
  /** Each mode has a mean, all of one length d. */
  means: readonly (readonly number[])[];
  /** Every mode has this standard deviation in every dimension. It is above 0. */
  std: number;
  /** Each mode has a weight; they are normalised. Each is above 0. */
  weights: readonly number[];
  /** The control network's hidden layers have this many numbers. It is a whole number, at least 1. */
  width: number;
  /** The control network has this many hidden layers. It is a whole number, at least 1. */
  depth: number;
}

/** These are the sizes of Stable Diffusion 3's transformer (MMDiT, arXiv 2403.03206). */
export interface Sd3TransformerConfig {
  /** A token stands for a square of latents with this side. It is a whole number, at least 1 and at most 256. */
  patchSize: number;
  /** Latents have this many channels. It is a whole number, at least 1 and at most 4096. */
  inChannels: number;
  /** Velocities have as many channels as latents. It is a whole number, at least 1 and at most 4096. */
  outChannels: number;
  /** The network has this many blocks. It is a whole number, at least 1 and at most 1024. */
  layers: number;
  /** Attention has this many heads. It is a whole number, at least 1 and at most 4096. */
  heads: number;
  /** A head has this many numbers. It is a whole number, at least 1 and at most 4096. */
  headDim: number;
  /** A token of the prompt's embedding has this many numbers. It is a whole number, at least 1 and at most 1048576. */
  jointAttentionDim: number;
  /** These are projected to as many numbers as heads · headDim. It is a whole number. */
  captionProjectionDim: number;
  /** The prompt's pooled embedding has this many numbers. It is a whole number, at least 1 and at most 1048576. */
  pooledProjectionDim: number;
  /**
   * The stored table of positions has this many patches a side; a latent's are cut from its middle. It is a whole
   * number, at least 1 and at most 4096.
   */
  posEmbedMaxSize: number;
  /** The blocks of these numbers have a second attention, over the image alone. Each is a whole number, at least 0. */
  dualAttentionLayers: readonly number[];
  /** True where queries and keys are RMS-normalised. */
  qkNorm: boolean;
}

/** These are the sizes of FLUX.2's transformer (diffusers' Flux2Transformer2DModel). */
export interface Flux2TransformerConfig {
  /** Latents and velocities have this many channels. It is a whole number, at least 1 and at most 65536. */
  inChannels: number;
  /**
   * The network has this many blocks with a stream for the image and one for the text. It is a whole number, at least 0
   * and at most 1024.
   */
  layers: number;
  /**
   * After them come this many blocks whose one stream holds text and image. It is a whole number, at least 0 and at
   * most 1024.
   */
  singleLayers: number;
  /** Attention has this many heads. It is a whole number, at least 1 and at most 4096. */
  heads: number;
  /** A head has this many numbers. It is a whole number, at least 1 and at most 4096. */
  headDim: number;
  /** A token of the prompt's embedding has this many numbers. It is a whole number, at least 1 and at most 1048576. */
  jointAttentionDim: number;
  /**
   * The sinusoidal embedding of time has this many numbers; a multiple of 2. It is a whole number, at least 2 and at
   * most 65536.
   */
  timeChannels: number;
  /**
   * The feed-forward layers are this much wider inside than the tokens, rounded down. It is above 0 and at most 1024.
   */
  mlpRatio: number;
  /**
   * So many numbers of a head turn with a token's image, row, column and place in the text; four multiples of 2 that
   * add up to headDim. Each is a whole number, at least 0.
   */
  ropeAxes: readonly number[];
  /** The slowest of them turn about this much slower. It is above 0. */
  ropeTheta: number;
  /** Norms add this to a variance or a mean square. It is above 0. */
  normEpsilon: number;
}

/** These are the sizes of latent diffusion's autoencoder (arXiv 2112.10752). */
export interface AutoencoderKlConfig {
  /** The encoder takes images of this many channels. It is a whole number, at least 1. */
  inChannels: number;
  /** The decoder makes images of this many channels. It is a whole number, at least 1. */
  outChannels: number;
  /** Latents have this many channels. It is a whole number, at least 1. */
  latentChannels: number;
  /**
   * Each level has this many channels, the finest level first; multiples of normGroups. Each is a whole number, at
   * least 1.
   */
  blockOutChannels: readonly number[];
  /**
   * Each level of the decoder has this many channels, where they are others than the encoder's. Each is a whole number,
   * at least 1.
   */
  decoderBlockOutChannels?: readonly number[] | undefined;
  /** A level of the encoder has this many residual blocks, the decoder's one more. It is a whole number, at least 1. */
  layersPerBlock: number;
  /** Channels are normalised in this many groups. It is a whole number, at least 1. */
  normGroups: number;
  /** True where the middle of each half attends over all places. */
  midBlockAttention: boolean;
  /** True where the encoder ends with a convolution of one place. */
  useQuantConv: boolean;
  /** True where the decoder begins with a convolution of one place. */
  usePostQuantConv: boolean;
  /** The latents are (z − shiftFactor) · scalingFactor, z the encoder's mean; not 0. */
  scalingFactor: number;
  /** The latents are shifted by this before they are scaled. */
  shiftFactor: number;
  /**
   * True where the decoder's convolutions, and nothing else, may round what they multiply to TF32 on a GPU, forward and
   * backward.
   * @defaultValue false
   */
  tf32?: boolean | undefined;
}

/** These are the sizes of FLUX.2's autoencoder (diffusers' AutoencoderKLFlux2). */
export interface Flux2AutoencoderConfig {
  /** Encoder and decoder have these sizes. */
  networks: AutoencoderKlConfig;
  /**
   * A latent is a square with this side of what the encoder makes, its channels side by side. It is a whole number, at
   * least 1 and at most 256.
   */
  patchSize: number;
  /** Latents are normalised by stored means and by the roots of stored variances plus this. It is at least 0. */
  batchNormEpsilon: number;
}

/** This is where the velocity of the pretrained model comes from; one of its three ways. */
export interface PretrainedPass {
  /** A second module, which is frozen, computes it. */
  module?: string | undefined;
  /** An argument of forward, a bool of this name, asks for it. */
  flag?: string | undefined;
  /** The argument has this value in the pretrained pass. @defaultValue false */
  flagValue?: boolean | undefined;
  /** The parameters whose names end in one of these are zero in that pass. @defaultValue [] */
  zeroed?: readonly string[] | undefined;
}

/** This describes a velocity network in TorchScript. */
export interface TorchScriptModelConfig {
  /** The module is in this file. */
  module: string;
  /** A second module, in this file, makes images of latents; without it latents are the images. */
  decoder?: string | undefined;
  /** One latent has this shape. Each is a whole number, at least 1. */
  shape: readonly number[];
  /** The network is given the time and returns the velocity in this convention. @defaultValue 'rectified-flow' */
  convention?: 'rectified-flow' | 'sigma' | 'sigma-1000' | undefined;
  /** The tensors of the conditioning are these arguments of forward, in this order. @defaultValue [] */
  conditioning?: readonly string[] | undefined;
  /** Parameters train whose names end in one of these; else those that require a gradient. */
  trainable?: readonly string[] | undefined;
  /** The velocity of the pretrained model comes from here; without it there is no fine-tuning. */
  pretrained?: PretrainedPass | undefined;
  /**
   * The pretrained pass is what is trained: every parameter that fine-tuning would not train, nor zero.
   * @defaultValue false
   */
  pretraining?: boolean | undefined;
  /** This is the variance of the latents of data, about their mean. It is above 0. @defaultValue 1 */
  latentVariance?: number | undefined;
}

/** These are the sizes of one of CLIP's two towers (arXiv 2103.00020). */
export interface ClipTowerConfig {
  /** A token or patch has this many numbers; a multiple of heads. It is a whole number, at least 1. */
  width: number;
  /** The feed-forward layers have this many numbers inside. It is a whole number, at least 1. */
  intermediate: number;
  /** The tower has this many layers. It is a whole number, at least 1. */
  layers: number;
  /** Attention has this many heads. It is a whole number, at least 1. */
  heads: number;
  /** The feed-forward layers' activation is x Φ(x) with `'gelu'`, x sigmoid(1.702 x) with `'quick_gelu'`. */
  activation: 'gelu' | 'quick_gelu';
  /** Normalisation adds this to the variance. It is above 0. */
  layerNormEpsilon: number;
  /** The feature that both towers project to has this many numbers. It is a whole number, at least 1. */
  projection: number;
}

/** These are the sizes of CLIP's text encoder. */
export interface ClipTextConfig extends ClipTowerConfig {
  /** Token ids are below this. It is a whole number, at least 1. */
  vocabulary: number;
  /** The longest text has this many tokens. It is a whole number, at least 1. */
  positions: number;
  /**
   * The state at this token is the text's feature; left out, that at the largest id, as the first CLIP has it. It is a
   * whole number, at least 0.
   */
  eosToken?: number | undefined;
}

/** These are the sizes of T5's encoder (arXiv 1910.10683). */
export interface T5EncoderConfig {
  /** Token ids are below this. It is a whole number, at least 1. */
  vocabulary: number;
  /** A token has this many numbers. It is a whole number, at least 1. */
  width: number;
  /** A head has this many numbers; heads · keyWidth need not be width. It is a whole number, at least 1. */
  keyWidth: number;
  /** The feed-forward layers have this many numbers inside. It is a whole number, at least 1. */
  intermediate: number;
  /** The encoder has this many blocks. It is a whole number, at least 1. */
  layers: number;
  /** Attention has this many heads. It is a whole number, at least 1. */
  heads: number;
  /** Distances between tokens fall into this many buckets; a multiple of 4. It is a whole number, at least 1. */
  relativeBuckets: number;
  /**
   * All that is further away than this many tokens shares a bucket; above a quarter of relativeBuckets. It is a whole
   * number.
   */
  relativeMaxDistance: number;
  /** Normalisation adds this to the mean square. It is above 0. */
  layerNormEpsilon: number;
  /** The feed-forward layers are those of T5 v1.1 with `'gated-gelu'`, of T5 with `'relu'`. */
  feedForward: 'gated-gelu' | 'relu';
  /**
   * True leaves the blocks' weights where their files are mapped, and has one block at a time on the device and in the
   * network's type.
   * @defaultValue false
   */
  sliced?: boolean | undefined;
}

/** These are the sizes of Qwen3 (arXiv 2505.09388) as an encoder of texts. */
export interface Qwen3EncoderConfig {
  /** Token ids are below this. It is a whole number, at least 1. */
  vocabulary: number;
  /** A token has this many numbers. It is a whole number, at least 1. */
  width: number;
  /** The feed-forward layers have this many numbers inside. It is a whole number, at least 1. */
  intermediate: number;
  /** The network has this many blocks. It is a whole number, at least 1. */
  layers: number;
  /** Queries have this many heads; a multiple of keyValueHeads. It is a whole number, at least 1. */
  heads: number;
  /** Keys and values have this many heads, each for as many of the queries'. It is a whole number, at least 1. */
  keyValueHeads: number;
  /**
   * A head has this many numbers, a multiple of 2; heads · headDim need not be width. It is a whole number, at least 1.
   */
  headDim: number;
  /** Normalisation adds this to the mean square. It is above 0. */
  normEpsilon: number;
  /** The slowest numbers of a head turn about this much slower. It is above 0. */
  ropeTheta: number;
  /**
   * What is read of a token is its states after so many layers, side by side; all below layers, whose last state is
   * normalised. Each is a whole number, at least 1.
   */
  states: readonly number[];
}

/** These are the sizes of CLIP's image encoder. */
export interface ClipVisionConfig extends ClipTowerConfig {
  /** Images are square, with this many pixels a side; a multiple of patchSize. It is a whole number, at least 1. */
  imageSize: number;
  /** A patch is a square of pixels with this side. It is a whole number, at least 1. */
  patchSize: number;
}

/** This is how an image becomes a tower's square input. */
export interface ImagePreprocessConfig {
  /** `'crop'` brings the short side to size and keeps the middle, `'pad'` the long side and puts black around it. */
  fit: 'crop' | 'pad';
  /** The input has this many pixels a side. It is a whole number, at least 1. */
  size: number;
  /** Each channel is shifted by its mean, of three. */
  mean: readonly number[];
  /** Each channel is divided by its standard deviation, of three. Each is above 0. */
  std: readonly number[];
  /**
   * True rounds and clamps to bytes before and after each of the resize's two passes, as PIL does. No gradient goes
   * through that.
   */
  bytes: boolean;
}

/** This is a reward that compares CLIP's features or scores them. */
export interface ClipRewardConfig {
  /** The image encoder has these sizes. */
  vision: ClipVisionConfig;
  /** The text encoder has these sizes; a linear stack needs none. */
  text?: ClipTextConfig | undefined;
  /** The image encoder is given images in this form. */
  preprocess: ImagePreprocessConfig;
  /**
   * The score is exp(logit scale) · cosine with `'scaled-cosine'`, the cosine with `'cosine'`, and with
   * `'linear-stack'` what linear layers, head.layers.N, make of the image's feature.
   */
  kind: 'scaled-cosine' | 'cosine' | 'linear-stack';
  /** The tensors have the names that these libraries give them. */
  layout: 'transformers' | 'open_clip';
}

/** These are the sizes of BLIP's image encoder (arXiv 2201.12086). */
export interface BlipVisionConfig {
  /** Images are square, with this many pixels a side; a multiple of patchSize. It is a whole number, at least 1. */
  imageSize: number;
  /** A patch is a square of pixels with this side. It is a whole number, at least 1. */
  patchSize: number;
  /** A patch has this many numbers; a multiple of heads. It is a whole number, at least 1. */
  width: number;
  /** The feed-forward layers have this many numbers inside. It is a whole number, at least 1. */
  intermediate: number;
  /** The encoder has this many blocks. It is a whole number, at least 1. */
  layers: number;
  /** Attention has this many heads. It is a whole number, at least 1. */
  heads: number;
  /** Normalisation adds this to the variance. It is above 0. */
  layerNormEpsilon: number;
}

/** These are the sizes of BLIP's text encoder, a BERT (arXiv 1810.04805) that attends to an image. */
export interface BertConfig {
  /** Token ids are below this. It is a whole number, at least 1. */
  vocabulary: number;
  /** A token has this many numbers; a multiple of heads. It is a whole number, at least 1. */
  width: number;
  /** The feed-forward layers have this many numbers inside. It is a whole number, at least 1. */
  intermediate: number;
  /** The encoder has this many layers. It is a whole number, at least 1. */
  layers: number;
  /** Attention has this many heads. It is a whole number, at least 1. */
  heads: number;
  /** The longest text has this many tokens. It is a whole number, at least 1. */
  positions: number;
  /** Normalisation adds this to the variance. It is above 0. */
  layerNormEpsilon: number;
  /** The image features that its cross-attention reads have this many numbers. It is a whole number, at least 1. */
  encoderWidth: number;
}

/** This is a BERT that attends to BLIP's image features, and a head on its first state; (head − mean) / std. */
export interface BlipRewardConfig {
  /** The image encoder has these sizes. */
  vision: BlipVisionConfig;
  /** The text encoder has these sizes. */
  text: BertConfig;
  /** The image encoder is given images in this form. */
  preprocess: ImagePreprocessConfig;
  /** The head's values have this mean over the data that it was trained on. */
  mean: number;
  /** They have this standard deviation. It is above 0. */
  std: number;
}

/** Each network's configuration, and the interface that it has. */
export interface NetworkKinds {
  digits: { config: DigitsModelConfig; interface: 'FlowModel' };
  'digit-classifier': { config: DigitClassifierConfig; interface: 'Classifier' };
  'gaussian-mixture': { config: GaussianMixtureConfig; interface: 'FlowModel' };
  sd3: { config: Sd3TransformerConfig; interface: 'FlowModel' };
  flux2: { config: Flux2TransformerConfig; interface: 'FlowModel' };
  'flux2-autoencoder': { config: Flux2AutoencoderConfig; interface: 'Autoencoder' };
  torchscript: { config: TorchScriptModelConfig; interface: 'FlowModel' };
  'autoencoder-kl': { config: AutoencoderKlConfig; interface: 'Autoencoder' };
  'clip-text': { config: ClipTextConfig; interface: 'TextEncoder' };
  't5-encoder': { config: T5EncoderConfig; interface: 'TextEncoder' };
  'qwen3-encoder': { config: Qwen3EncoderConfig; interface: 'TextEncoder' };
  'clip-reward': { config: ClipRewardConfig; interface: 'ImageReward' };
  'blip-reward': { config: BlipRewardConfig; interface: 'ImageReward' };
}
