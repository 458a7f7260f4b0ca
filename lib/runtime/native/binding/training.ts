// Training algorithms, the optimizer and the sampler, for any velocity network.

import type { NativeClassifier, NativeFlowModel } from './networks.js';
import type { NativeCancellation } from './process.js';
import type {
  AdamWOptions,
  AdjointMatchingOptions,
  AlignPropOptions,
  DraftOptions,
  EamOptions,
  FlowMatchingOptions,
  ReflOptions,
  SamplerOptions,
} from '../options.generated.js';
import type { Tensor } from '../tensor.js';

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
  state(): Record<string, Tensor>;
  /** How many updates were made: t of the bias corrections 1 − βᵗ. */
  readonly stepCount: number;
  /** Takes what `state` gave. Rejects with CheckpointError where a tensor is missing or has another shape. */
  load(tensors: Record<string, Tensor>, stepCount: number): Promise<void>;
}

/** Samples that a network drew, on their way to a training step. */
export interface NativeDrawn {
  /** Latents at the end of the rollout, [rows, …]: X_1, or Y at time 1 − δ. */
  readonly endpoint: Tensor;
  /** Network evaluations, one a sample: a batch of B counts B, whatever the micro-batch. */
  readonly forwards: number;
  /** Disposes of the rollout and its tensors. */
  dispose(): void;
}

/** Samples that are yet to be scored: a slice of images at a time is decoded, scored, and forgotten. */
export interface NativeRollout extends NativeDrawn {
  /** So many images are scored at a time, at least 1: `decodeSlice`, or all. */
  readonly slice: number;
  /**
   * Makes the images of rows begin ≤ i < end, [end − begin, channels, H, W] in [0, 1], not clamped. There is a row for
   * each of B samples, or a multiple of them, where row r is another image of sample r mod B.
   */
  decode(args: {
    begin: number;
    end: number;
    /** It says whether `carry` will be called; default false. The graph of the slice before is freed. */
    keepGraph?: boolean;
    cancellation: NativeCancellation;
  }): Promise<Tensor>;
  /** Takes ∂r/∂images of the slice that was decoded last, of its shape, back to its latents, and frees its graph. */
  carry(rewardGrad: Tensor): Promise<void>;
}

/** Samples that were drawn and scored once, to be matched in many steps; float32. */
export interface NativeEndpoints {
  /** Y at time 1 − δ, [B, …]. */
  endpoint: Tensor;
  /** v_pre(Y, 1 − δ), [B, …]. */
  velocity: Tensor;
  /** ∂r/∂Y, [B, …]; left out where the reward has none. */
  rewardGradient?: Tensor;
}

/** Measurements of the term that corrects mode weights, over the renoisings of the kept samples. */
export interface NativeModeMetrics {
  /** Mean of ℓ = log p_θ/p_pre at the endpoints, an estimate of KL(p_θ ‖ p_pre) in nats. */
  drift: number;
  /** The standard deviation of the estimates of ℓ. */
  driftStd: number;
  /** Mean of the advantage A = λr − ℓ. */
  advantage: number;
  /** The standard deviation of A. */
  advantageStd: number;
  /** Share of the factors s that reached a bound, in [0, 1]. */
  clipped: number;
}

/** What one training step measured. */
export interface NativeStepMetrics {
  /** The mean of the loss over the samples that were kept; 0 where none was. */
  loss: number;
  /** The loss of each image, [rows]; it is NaN where the image was dropped. */
  perSample: Float32Array;
  /** How many samples were left out, in all their images, because reward, gradient or loss were not finite. */
  dropped: number;
  /** How many samples had their reward gradient clipped at the running quantile. */
  clipped: number;
  /** How many terms of the loss reached their cap and gave no gradient. */
  capped: number;
  /** How many network evaluations the iteration took, its rollout included; each sample counts as one. */
  forwards: number;
  /** How many vector–Jacobian products were taken through the pretrained network. */
  vjps: number;
  /** How many backward passes went through the trained network. */
  backwards: number;
  /** Mean over the samples of ‖∇r‖, as the reward gave it. */
  rewardGradientNorm: number;
  /** Mean over the samples of ‖∇ log p_pre‖ at the endpoint. */
  scoreNorm: number;
  /** Measurements of the term that corrects mode weights, where the algorithm has it. */
  modes?: NativeModeMetrics;
}

/** What every reward fine-tuning algorithm can do. */
export interface NativeAlgorithm {
  /** Conditioning tensors have a row a sample, or one for all; `shape` is [B, …]. */
  rollout(args: {
    conditioning: Tensor[];
    unconditional?: Tensor[];
    shape: number[];
    seed: bigint;
    step: number;
    /** Whether the reward's gradient will come; default true. */
    differentiable?: boolean;
    cancellation: NativeCancellation;
  }): Promise<NativeRollout>;
  /** Spends a rollout: what `recall` takes of it in later steps, and the vector–Jacobian products that it took. */
  keep(
    rollout: NativeDrawn,
    rewardGrad: Tensor | undefined,
    cancellation: NativeCancellation,
  ): Promise<
    NativeEndpoints & {
      /** Network evaluations of drawing, decoding and the reward's gradient, one a sample. */
      forwards: number;
      /** Products that the reward's gradient took. */
      vjps: number;
    }
  >;
  /** A rollout of samples that were kept. */
  recall(
    args: NativeEndpoints & { conditioning: Tensor[]; unconditional?: Tensor[]; seed: bigint; step: number },
  ): Promise<NativeDrawn>;
  /**
   * Spends the rollout. Values that are not finite drop their samples. After a cancellation the gradients are partial.
   * `rewardGrad` is ∂r/∂images of all of them, for which those without a graph are decoded again. Without it the
   * gradient was carried, the samples were recalled with it, or the reward has none.
   */
  accumulate(
    rollout: NativeDrawn,
    rewardValues: Float32Array,
    rewardGrad: Tensor | undefined,
    cancellation: NativeCancellation,
  ): Promise<NativeStepMetrics>;
  /** Gives the state beyond parameters (running quantiles), as plain numbers for a checkpoint. */
  state(): Record<string, number[]>;
  /** Takes what `state` gave. */
  load(state: Record<string, number[]>): void;
}

export interface TrainingBinding {
  /** Averages with decay min(emaDecay, (1 + n)/(10 + n)) after n steps when `emaDecay` is above 0. */
  AdamW: new (
    owner: NativeFlowModel | NativeClassifier,
    options: AdamWOptions,
  ) => NativeOptimizer;
  Eam: new (model: NativeFlowModel, options: EamOptions) => NativeAlgorithm;
  AdjointMatching: new (model: NativeFlowModel, options: AdjointMatchingOptions) => NativeAlgorithm;
  Refl: new (model: NativeFlowModel, options: ReflOptions) => NativeAlgorithm;
  Draft: new (model: NativeFlowModel, options: DraftOptions) => NativeAlgorithm;
  AlignProp: new (model: NativeFlowModel, options: AlignPropOptions) => NativeAlgorithm;
  /** Flow matching: t, noise and dropped labels are drawn from (seed, step, sample) streams. */
  flowMatching(
    model: NativeFlowModel,
    args: FlowMatchingOptions & {
      x1: Tensor;
      conditioning: Tensor[];
      unconditional: Tensor[];
      seed: bigint;
      step: number;
      cancellation: NativeCancellation;
    },
  ): Promise<{ loss: number; perSample: Float32Array }>;
  /** Deterministic sampling of latents at time 1. With an optimizer, its averaged weights are used. */
  sample(
    model: NativeFlowModel,
    args: SamplerOptions & {
      conditioning: Tensor[];
      unconditional?: Tensor[];
      shape: number[];
      seed: bigint;
      firstSample: number;
      average?: NativeOptimizer;
      cancellation: NativeCancellation;
    },
  ): Promise<{ latents: Tensor; forwards: number }>;
}
