// The addon's surface, one to one with native/addon. Everything that computes returns a Promise and runs, in order,
// on the addon's one executor thread; arguments that do not fit reject too, in functions that return no Promise they
// throw. Errors are instances of the classes given to `initialize`.

import type { ErrorClasses } from '../../errors.js';
import type {
  Coefficients,
  FlowMatchingLossOptions,
  LeanAdjointStepOptions,
  MatchingLoss,
  MatchingLossOptions,
  MemorylessStepOptions,
  PhiloxNormalOptions,
  RenoiseOptions,
  TerminalGradientOptions,
} from '../kernels.js';
import type { DType, Tensor, TensorConstructor, TypedArray } from '../tensor.js';

export type { DType, TypedArray };
/** The public Tensor is the native class itself. */
export type NativeTensor = Tensor;

/** Stops native work between two network evaluations. */
export interface NativeCancellation {
  /** Stops the calls that it was given to, between two network evaluations. */
  cancel(): void;
}

/** Where and when the solver wants the next velocity; `x` is the result once `done`. */
export interface NativeOdeState {
  done: boolean;
  t: number;
  x: NativeTensor;
}

export interface NativeOdeSolver {
  start(x0: NativeTensor): Promise<NativeOdeState>;
  advance(velocity: NativeTensor, unconditional: NativeTensor | undefined, guidance: number): Promise<NativeOdeState>;
  /** On the calling thread; never beside the two above on one solver. */
  startSync(x0: NativeTensor): NativeOdeState;
  advanceSync(velocity: NativeTensor, unconditional: NativeTensor | undefined, guidance: number): NativeOdeState;
}

/** A velocity network in native memory. */
export interface NativeFlowModel {
  /** Names of the tensors that training changes, sorted as the network has them. */
  readonly trainableNames: string[];
  /** Names to tensors that share memory with the network's. */
  weights(): Record<string, NativeTensor>;
  /** The tensors that training changes, sharing the network's memory. */
  trainable(): Record<string, NativeTensor>;
  /** Copies into the network; every name must exist with its shape, CheckpointError lists what does not fit. */
  load(kind: 'weights' | 'trainable', tensors: Record<string, NativeTensor>): Promise<void>;
  /** v(x, t), [B, …] float32, at one time a sample; `pretrained`: with the adapter off. */
  velocity(x: NativeTensor, t: Float32Array, conditioning: NativeTensor[], pretrained: boolean): Promise<NativeTensor>;
  /** `velocity` at `t`, and ∂(Σ upstream · velocity) with respect to x and to the trainable tensors of these names. */
  gradients(
    x: NativeTensor,
    t: Float32Array,
    conditioning: NativeTensor[],
    upstream: NativeTensor,
    names: readonly string[],
  ): Promise<{
    /** v(x, t), [B, …]. */
    velocity: NativeTensor;
    /** With respect to x, of its shape. */
    x: NativeTensor;
    /** With respect to each of `names`. */
    tensors: Record<string, NativeTensor>;
  }>;
  /** Latents [B, …] float32 to images [B, channels, H, W] in [0, 1], not clamped. */
  images(latents: NativeTensor): Promise<NativeTensor>;
}

/** AdamW over what a network trains. */
export interface NativeOptimizer {
  /** Clips at maxNorm, updates, averages, clears gradients. Skipped (and counted) where the norm is not finite. */
  step(
    learningRate: number,
    maxNorm: number,
  ): Promise<{
    /** Before it was clipped. */
    gradNorm: number;
    /** Whether it was not finite, and nothing was changed. */
    skipped: boolean;
  }>;
  /** `m.NAME`, `v.NAME` and, with averaging, `ema.NAME`; `stepCount` apart. */
  state(): Record<string, NativeTensor>;
  /** Updates so far: t of the bias corrections 1 − βᵗ. */
  readonly stepCount: number;
  /** Takes what `state` gave. Rejects with CheckpointError where a tensor is missing or has another shape. */
  load(tensors: Record<string, NativeTensor>, stepCount: number): Promise<void>;
}

/** Samples that a network drew, on their way to a training step. */
export interface NativeRollout {
  /** [B, channels, H, W] in [0, 1], not clamped. */
  readonly images: NativeTensor;
  /** Latents at the end of the rollout, [B, …]: X_1, or Y at time 1 − δ. */
  readonly endpoint: NativeTensor;
  /** Network evaluations, one a sample: a batch of B counts B, whatever the micro-batch. */
  readonly forwards: number;
  /** Of the rollout and its two tensors. */
  dispose(): void;
}

/** What one training step measured. */
export interface NativeStepMetrics {
  /** Mean over the samples that were kept; 0 where none was. */
  loss: number;
  /** NaN for a dropped sample. */
  perSample: Float32Array;
  /** Samples left out because reward, gradient or loss were not finite. */
  dropped: number;
  /** Samples whose reward gradient was clipped at the running quantile. */
  clipped: number;
  /** Terms of the loss that reached their cap and gave no gradient. */
  capped: number;
  /** Network evaluations of the whole iteration, rollout included, one a sample. */
  forwards: number;
  /** Vector–Jacobian products through the pretrained network. */
  vjps: number;
  /** Ways back through the trained network. */
  backwards: number;
  /** Mean over the samples of ‖∇r‖, as the reward gave it. */
  rewardGradientNorm: number;
  /** Mean over the samples of ‖∇ log p_pre‖ at the endpoint. */
  scoreNorm: number;
}

/** One interface for every reward fine-tuning algorithm. */
export interface NativeAlgorithm {
  /** Conditioning tensors have a row a sample, or one for all; `shape` is [B, …]. */
  rollout(args: {
    conditioning: NativeTensor[];
    unconditional?: NativeTensor[];
    shape: number[];
    seed: bigint;
    step: number;
    cancellation: NativeCancellation;
  }): Promise<NativeRollout>;
  /** Spends the rollout. Values that are not finite drop their samples. After a cancellation the gradients are partial. */
  accumulate(
    rollout: NativeRollout,
    rewardValues: Float32Array,
    rewardGrad: NativeTensor,
    cancellation: NativeCancellation,
  ): Promise<NativeStepMetrics>;
  /** State beyond parameters (running quantiles), as plain numbers for a checkpoint. */
  state(): Record<string, number[]>;
  /** Takes what `state` gave. */
  load(state: Record<string, number[]>): void;
}

export interface EamNativeOptions {
  C: number;
  lambda: number;
  delta: number;
  terminal: 'consistent' | 'plugin';
  solver: string;
  steps: number;
  /** Of the rollout's times: σ = s u/(1 + (s − 1) u) of equally spaced u. */
  shift: number;
  renoisings: number;
  weighting: 'velocity' | 'adjoint_matching';
  cap: number;
  rewardThroughDenoiser: boolean;
  /** Score, reward and loss are the guided velocity's. */
  guidedLoss: boolean;
  guidance: number;
  microBatch: number;
  /** Samples whose images are made a second time, for the reward's gradient, at once; 0: their graph is kept. */
  decodeSlice: number;
  rewardGradientQuantile: number;
}

export interface AdjointMatchingNativeOptions {
  lambda: number;
  steps: number;
  drawnSteps: number;
  finalFraction: number;
  cap?: number | undefined;
  guidance: number;
  microBatch: number;
  /** Samples whose images are made a second time, for the reward's gradient, at once; 0: their graph is kept. */
  decodeSlice: number;
  rewardGradientQuantile: number;
}

export interface DigitsModelConfig {
  imageSize: number;
  channels: number;
  patchSize: number;
  width: number;
  depth: number;
  heads: number;
  mlpRatio: number;
  classes: number;
}

export interface LoraConfig {
  rank: number;
  alpha: number;
  /** Suffixes of module names, such as 'attn.qkv'. */
  targets: string[];
  seed: bigint;
}

export interface GaussianMixtureConfig {
  /** One a mode, all of one length d. */
  means: readonly (readonly number[])[];
  std: number;
  weights: readonly number[];
  /** Of the control network's hidden layers, and how many of them. */
  width: number;
  depth: number;
}

/** Σ weights_i N(means_i, diag(variances_i)). */
export interface GaussianMixture {
  means: readonly (readonly number[])[];
  variances: readonly (readonly number[])[];
  weights: readonly number[];
}

export interface DigitClassifierConfig {
  imageSize: number;
  channels: number;
  widths: number[];
  features: number;
  classes: number;
}

/** A differentiable classifier of images. */
export interface NativeClassifier {
  weights(): Record<string, NativeTensor>;
  load(tensors: Record<string, NativeTensor>): Promise<void>;
  /** log p(label | image) for each image and its gradient (of the sum) with respect to the images. */
  logProbability(
    images: NativeTensor,
    labels: Int32Array,
    wantGrad: boolean,
  ): Promise<{ values: Float32Array; grad?: NativeTensor; predicted: Int32Array; features: NativeTensor }>;
  /** One cross-entropy forward and backward, labels smoothed in [0, 1); gradients are added to the weights'. */
  accumulate(
    images: NativeTensor,
    labels: Int32Array,
    labelSmoothing: number,
  ): Promise<{ loss: number; correct: number }>;
}

/** A reward computed by a TorchScript module. */
export interface NativeTorchScript {
  /** How many tensors beside the images its forward needs at least. */
  readonly requiredTensors: number;
  /** A value an image and the gradient (of the sum) with respect to the images; `prompts` go to a List[str] argument. */
  score(
    images: NativeTensor,
    prompts: readonly string[],
    tensors: readonly NativeTensor[],
    wantGrad: boolean,
  ): Promise<{ values: Float32Array; grad?: NativeTensor }>;
}

/** Stable Diffusion 3's transformer (MMDiT, arXiv 2403.03206). */
export interface Sd3TransformerConfig {
  patchSize: number;
  inChannels: number;
  outChannels: number;
  layers: number;
  heads: number;
  headDim: number;
  jointAttentionDim: number;
  captionProjectionDim: number;
  pooledProjectionDim: number;
  /** Side, in patches, of the stored table of positions, from whose middle a latent's are cut. */
  posEmbedMaxSize: number;
  /** Numbers of the blocks with a second attention over the image alone. */
  dualAttentionLayers: readonly number[];
  /** Whether queries and keys are RMS-normalised. */
  qkNorm: boolean;
}

export interface AutoencoderConfig {
  inChannels: number;
  outChannels: number;
  latentChannels: number;
  blockOutChannels: readonly number[];
  layersPerBlock: number;
  normGroups: number;
  midBlockAttention: boolean;
  useQuantConv: boolean;
  usePostQuantConv: boolean;
  /** latent = (z − shiftFactor) · scalingFactor, z the encoder's mean. */
  scalingFactor: number;
  shiftFactor: number;
}

/** A CLIP tower of tokens or patches. */
export interface ClipTowerConfig {
  width: number;
  intermediate: number;
  layers: number;
  heads: number;
  activation: 'gelu' | 'quick_gelu';
  layerNormEpsilon: number;
  /** Of the projected feature. */
  projection: number;
}

export interface ClipTextConfig extends ClipTowerConfig {
  vocabulary: number;
  positions: number;
  /** The position of this token is pooled; undefined: that of the largest id, as the first CLIP did. */
  eosToken: number | undefined;
}

export interface ClipVisionConfig extends ClipTowerConfig {
  imageSize: number;
  patchSize: number;
}

export interface T5EncoderConfig {
  vocabulary: number;
  width: number;
  keyWidth: number;
  intermediate: number;
  layers: number;
  heads: number;
  relativeBuckets: number;
  relativeMaxDistance: number;
  layerNormEpsilon: number;
  /** 'gated-gelu' (T5 v1.1) or 'relu' (T5). */
  feedForward: 'gated-gelu' | 'relu';
}

/** A text encoder; `ids` is int64 [B, L]. */
export interface NativeTextEncoder {
  /** `hidden` [B, L, width]: CLIP's states before the last layer, T5's output. `pooled` [B, projection]: CLIP's feature. */
  encode(ids: NativeTensor): Promise<{ hidden: NativeTensor; pooled?: NativeTensor }>;
  /** Frees the weights. */
  dispose(): void;
}

/** A KL autoencoder. Images are [B, 3, H, W] in [0, 1], not clamped. */
export interface NativeAutoencoder {
  decode(latents: NativeTensor): Promise<NativeTensor>;
  /** The images and ∂(Σ upstream · images)/∂latents. */
  decodeGradient(latents: NativeTensor, upstream: NativeTensor): Promise<{ images: NativeTensor; grad: NativeTensor }>;
  /** The posterior's mean, scaled and shifted as the latents that `decode` takes. */
  encode(images: NativeTensor): Promise<NativeTensor>;
  dispose(): void;
}

/** A published reward model. Images are [B, 3, H, W] in [0, 1], not clamped, of any size. */
export interface NativeImageReward {
  /**
   * One value an image; where wanted the gradient of their sum with respect to the images, and the features, from the same
   * pass. `ids` (int64 [B, L]) and `mask` where the reward reads prompts. `slice`: images that are scored at a time; 0: all.
   */
  score(
    images: NativeTensor,
    ids: NativeTensor | undefined,
    mask: NativeTensor | undefined,
    wanted: { grad: boolean; features: boolean },
    slice: number,
  ): Promise<{ values: Float32Array; grad?: NativeTensor; features?: NativeTensor }>;
  /** What the image tower sees: resized, cropped or padded, normalised, [B, 3, size, size]. */
  preprocess(images: NativeTensor): Promise<NativeTensor>;
  /** The image tower's feature, L2-normalised, [B, F]: what the diversity of a set of images is measured in. */
  features(images: NativeTensor, slice: number): Promise<NativeTensor>;
  dispose(): void;
}

/** How an image becomes a tower's square input: cropped to its middle, or padded with black, and normalised. */
export interface PreprocessConfig {
  fit: 'crop' | 'pad';
  size: number;
  mean: readonly number[];
  std: readonly number[];
  /** Rounds and clamps to bytes after each of the resize's two passes, as PIL does. No gradient goes through that. */
  bytes: boolean;
}

/** What turns CLIP's features into a score. */
export type ClipScoreKind =
  /** exp(logit scale) · cosine (PickScore). */
  | { name: 'scaled-cosine' }
  /** CLIPScore, HPSv2.1. */
  | { name: 'cosine' }
  /** A stack of linear layers on the image's feature (LAION's aesthetic predictor), `tensors` under its names. */
  | { name: 'linear-stack'; tensors: Record<string, NativeTensor> };

export interface BertConfig {
  vocabulary: number;
  width: number;
  intermediate: number;
  layers: number;
  heads: number;
  positions: number;
  layerNormEpsilon: number;
  /** Of the image features that its cross-attention reads. */
  encoderWidth: number;
}

/** A tensor's place in a safetensors file; `begin` and `end` are bytes from the data section's start. */
export interface TensorFileEntry {
  name: string;
  dtype: DType;
  shape: number[];
  begin: number;
  end: number;
}

export interface Binding {
  /** Of the LibTorch that is loaded, such as '2.13.0', as that says itself. */
  readonly libtorchVersion: string;
  readonly variant: 'cpu' | 'cuda';
  initialize(errors: ErrorClasses): void;
  /** How many threads an operator uses. */
  threads(): Promise<number>;
  setThreads(count: number): Promise<void>;
  cudaDeviceCount(): number;
  /**
   * A descriptor of the file, made where there is none, which is locked until that is closed or the process ends, however it
   * ends; undefined where another descriptor has the lock.
   */
  lockFile(path: string): number | undefined;
  Cancellation: new () => NativeCancellation;
  Tensor: TensorConstructor;

  // Documented in lib/runtime/kernels.ts.
  coefficients(t: number, C: number): Coefficients;
  philoxNormal(shape: readonly number[], options: PhiloxNormalOptions): Promise<Tensor>;
  renoise(options: RenoiseOptions): Promise<Tensor>;
  terminalGradient(options: TerminalGradientOptions): Promise<Tensor>;
  matchingLoss(options: MatchingLossOptions): Promise<MatchingLoss>;
  flowMatchingLoss(options: FlowMatchingLossOptions): Promise<MatchingLoss>;
  memorylessStep(options: MemorylessStepOptions): Promise<Tensor>;
  leanAdjointStep(options: LeanAdjointStepOptions): Promise<Tensor>;
  philoxNormalSync(shape: readonly number[], options: PhiloxNormalOptions): Tensor;
  renoiseSync(options: RenoiseOptions): Tensor;
  terminalGradientSync(options: TerminalGradientOptions): Tensor;
  matchingLossSync(options: MatchingLossOptions): MatchingLoss;
  flowMatchingLossSync(options: FlowMatchingLossOptions): MatchingLoss;
  memorylessStepSync(options: MemorylessStepOptions): Tensor;
  leanAdjointStepSync(options: LeanAdjointStepOptions): Tensor;
  /** One block of Philox4x32-10: four words from a counter of four and a key of two. */
  philoxWords(counter: Uint32Array, key: Uint32Array): Uint32Array;
  OdeSolver: new (solver: string, times: readonly number[] | Float64Array | Float32Array) => NativeOdeSolver;

  /** Σ w_k x_k: combines reward gradients. */
  weightedSum(tensors: NativeTensor[], weights: number[]): Promise<NativeTensor>;
  /** Rows of a data set, scale·row + offset, each shifted by (down, right) pixels; `offset` comes into view. */
  gatherImages(
    images: NativeTensor,
    indices: Int32Array,
    shifts: Int32Array | undefined,
    scale: number,
    offset: number,
  ): Promise<NativeTensor>;
  /** Mean intensity of each image and its gradient: the stroke-weight reward. */
  meanIntensity(images: NativeTensor, wantGrad: boolean): Promise<{ values: Float32Array; grad?: NativeTensor }>;
  /** Mean Euclidean distance over all pairs of rows. */
  meanPairwiseDistance(features: NativeTensor): Promise<number>;
  /** Mean of 1 − cosine over all pairs of rows. */
  meanPairwiseCosineDistance(features: NativeTensor): Promise<number>;
  /** [B, C, H, W] in [0, 1] to rows of bytes, clamped and rounded, one image grid of `columns` columns. */
  imageGrid(
    images: NativeTensor,
    columns: number,
    padding: number,
  ): Promise<{ width: number; height: number; channels: number; data: Uint8Array }>;

  DigitsModel: new (
    config: DigitsModelConfig,
    seed: bigint,
    lora: LoraConfig | undefined,
    dtype: DType,
    device: string,
  ) => NativeFlowModel;
  /** A float32 or float64 closed form and a float32 control network; latents are [B, d], images [B, d, 1, 1]. */
  GaussianMixtureModel: new (
    config: GaussianMixtureConfig,
    seed: bigint,
    dtype: DType,
    device: string,
  ) => NativeFlowModel;
  DigitClassifier: new (config: DigitClassifierConfig, seed: bigint, device: string) => NativeClassifier;

  /** Runs code from the file. ConfigError says why it is no TorchScript module of that signature. */
  loadTorchScript(path: string, device: string): Promise<NativeTorchScript>;

  // Published networks. `tensors` are those of their files, under their names: whatever is missing, misshapen or left
  // over is a CheckpointError that lists it. `dtype` undefined: as stored.
  loadSd3Model(args: {
    config: Sd3TransformerConfig;
    tensors: Record<string, NativeTensor>;
    autoencoder: NativeAutoencoder | undefined;
    lora: LoraConfig | undefined;
    dtype: DType | undefined;
    device: string;
    /** Keep one block's activations at a time and compute them again on the way back. */
    checkpointing: boolean;
  }): Promise<NativeFlowModel>;
  loadAutoencoder(
    config: AutoencoderConfig,
    tensors: Record<string, NativeTensor>,
    dtype: DType | undefined,
    device: string,
  ): Promise<NativeAutoencoder>;
  loadClipText(
    config: ClipTextConfig,
    tensors: Record<string, NativeTensor>,
    dtype: DType | undefined,
    device: string,
  ): Promise<NativeTextEncoder>;
  loadT5Encoder(
    config: T5EncoderConfig,
    tensors: Record<string, NativeTensor>,
    dtype: DType | undefined,
    device: string,
  ): Promise<NativeTextEncoder>;
  /** `layout`: whose names the tensors have. */
  loadClipReward(args: {
    vision: ClipVisionConfig;
    text: ClipTextConfig | undefined;
    preprocess: PreprocessConfig;
    kind: ClipScoreKind;
    layout: 'transformers' | 'open_clip';
    tensors: Record<string, NativeTensor>;
    dtype: DType | undefined;
    device: string;
  }): Promise<NativeImageReward>;
  /** BLIP's image tower, a BERT that attends to it, and ImageReward's head; (head(CLS) − mean) / std. */
  loadBlipReward(args: {
    vision: Omit<ClipVisionConfig, 'projection' | 'activation'>;
    text: BertConfig;
    preprocess: PreprocessConfig;
    mean: number;
    std: number;
    tensors: Record<string, NativeTensor>;
    dtype: DType | undefined;
    device: string;
  }): Promise<NativeImageReward>;
  /**
   * The dictionary of tensors in a file of torch.save (zip format), through LibTorch's restricted unpickler: nothing in
   * the file is run. Nested dictionaries have dotted names. CheckpointError for anything else.
   */
  readTorchFile(path: string): Promise<Record<string, NativeTensor>>;

  /** Averages with decay min(emaDecay, (1 + n)/(10 + n)) after n steps when `emaDecay` is above 0. */
  AdamW: new (
    owner: NativeFlowModel | NativeClassifier,
    options: { beta1: number; beta2: number; epsilon: number; weightDecay: number; emaDecay: number },
  ) => NativeOptimizer;

  Eam: new (model: NativeFlowModel, options: EamNativeOptions) => NativeAlgorithm;
  AdjointMatching: new (model: NativeFlowModel, options: AdjointMatchingNativeOptions) => NativeAlgorithm;

  /** Flow matching: t, noise and dropped labels are drawn from (seed, step, sample) streams. */
  flowMatching(
    model: NativeFlowModel,
    args: {
      x1: NativeTensor;
      conditioning: NativeTensor[];
      unconditional: NativeTensor[];
      dropout: number;
      timeDistribution: 'uniform' | 'logit_normal';
      seed: bigint;
      step: number;
      cancellation: NativeCancellation;
    },
  ): Promise<{ loss: number; perSample: Float32Array }>;

  /** Deterministic sampling of latents at time 1. With an optimizer, its averaged weights are used. */
  sample(
    model: NativeFlowModel,
    args: {
      conditioning: NativeTensor[];
      unconditional?: NativeTensor[];
      guidance: number;
      solver: string;
      times: number[];
      shape: number[];
      seed: bigint;
      firstSample: number;
      weights: 'trained' | 'pretrained';
      average?: NativeOptimizer;
      cancellation: NativeCancellation;
    },
  ): Promise<{ latents: NativeTensor; forwards: number }>;

  // Samples are [N, …], d numbers each; documented in native/ops/{quadratic,gaussian_mixture,distances}.h.
  /** Σ linear·x − ½ Σ quadratic·(x − center)² of each sample, and the gradient of the sum. */
  quadratic(
    x: NativeTensor,
    form: { linear: readonly number[]; quadratic: readonly number[]; center: readonly number[] },
    wantGrad: boolean,
  ): Promise<{ values: Float32Array; grad?: NativeTensor }>;
  /** Independent samples, float32 [count, d]. */
  drawMixture(mixture: GaussianMixture, count: number, seed: bigint, device: string): Promise<NativeTensor>;
  mixtureMeanLogDensity(mixture: GaussianMixture, samples: NativeTensor): Promise<number>;
  /** The modes' weights under which the samples are most likely. */
  fitMixtureWeights(mixture: GaussianMixture, samples: NativeTensor): Promise<number[]>;
  medianDistance(samples: NativeTensor): Promise<number>;
  /** Mean of Gaussian kernels over all pairs; without y over the pairs of different samples of x. */
  meanKernel(x: NativeTensor, y: NativeTensor | undefined, bandwidths: readonly number[]): Promise<number>;
  slicedWasserstein(x: NativeTensor, y: NativeTensor, projections: number, seed: bigint): Promise<number>;
  /** Differential entropy in nats, by distances to the k-th nearest neighbours. */
  entropy(samples: NativeTensor, k: number): Promise<number>;

  /** max |value − reference| and max |reference|, in float64; NaN where a tensor has one. ShapeError for different shapes. */
  largestDifference(value: NativeTensor, reference: NativeTensor): Promise<{ largest: number; scale: number }>;
  /** weight [out, in] + scale · loraB [out, rank] · loraA [rank, in], in float64, rounded once to weight's dtype. */
  mergeLora(weight: NativeTensor, loraA: NativeTensor, loraB: NativeTensor, scale: number): Promise<NativeTensor>;
  /**
   * From now on the stages of iterations are timed: each waits for the device at its beginning and its end, so that none
   * is charged with what another left to be done.
   */
  timeStages(device: string): Promise<void>;
  /** Seconds in each stage since `timeStages` or the last call: `rollout`, `decoding`, `rewardGradient`, `matching`, `update`. */
  stageSeconds(): Promise<Record<string, number>>;
  /** Resolves when the device has done all that it was given. */
  synchronize(device: string): Promise<void>;
  /** The most bytes that tensors took on a CUDA device since this was last called. */
  cudaPeakMemory(device: string): Promise<number>;
  /** Of one product of two square matrices, a mean over so many. */
  matrixProductSeconds(size: number, repeats: number, dtype: DType, device: string): Promise<number>;
  /** Bytes of a CUDA device that no process has taken, and of all of it. ConfigError for 'cpu' or one that is not there. */
  cudaMemory(device: string): Promise<{ free: number; total: number }>;

  /** Memory-mapped, bounds-checked views into a safetensors file. Cutting the file short while they live ends the process. */
  mapTensors(path: string, entries: TensorFileEntry[]): Promise<Record<string, NativeTensor>>;
  /** The same in memory of their own. */
  readTensors(path: string, entries: TensorFileEntry[]): Promise<Record<string, NativeTensor>>;
  /** Header bytes (the length in front) then tensors, written aside, synced and renamed to `path`, or nothing at all. */
  writeTensors(path: string, header: Uint8Array, tensors: NativeTensor[]): Promise<void>;
}
