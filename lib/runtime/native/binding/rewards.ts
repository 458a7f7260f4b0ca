// Rewards that are no networks of ours.

import type { Tensor } from '../tensor.js';

/** A reward computed by a TorchScript module. */
export interface NativeTorchScript {
  /** How many tensors beside the images its forward needs at least. */
  readonly requiredTensors: number;
  /**
   * A value an image and the gradient (of the sum) with respect to the images; `prompts` go to a List[str] argument.
   */
  score(
    images: Tensor,
    prompts: readonly string[],
    tensors: readonly Tensor[],
    wantGrad: boolean,
  ): Promise<{ values: Float32Array; grad?: Tensor }>;
}

export interface RewardBinding {
  /** Σ w_k x_k: combines reward gradients. */
  weightedSum(tensors: Tensor[], weights: number[]): Promise<Tensor>;
  /** Mean intensity of each image and its gradient: the stroke-weight reward. */
  meanIntensity(images: Tensor, wantGrad: boolean): Promise<{ values: Float32Array; grad?: Tensor }>;
  /** Σ linear·x − ½ Σ quadratic·(x − center)² of each sample, and the gradient of the sum. */
  quadratic(
    x: Tensor,
    form: { linear: readonly number[]; quadratic: readonly number[]; center: readonly number[] },
    wantGrad: boolean,
  ): Promise<{ values: Float32Array; grad?: Tensor }>;
  /** Runs code from the file. ConfigError says why it is no TorchScript module of that signature. */
  loadTorchScript(path: string, device: string): Promise<NativeTorchScript>;
}
