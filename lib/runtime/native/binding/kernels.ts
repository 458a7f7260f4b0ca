// Arguments and results of the kernels; lib/runtime/kernels.ts documents the functions.

import type {
  FlowMatchingLossOptions,
  LeanAdjointStepOptions,
  MatchingLossOptions,
  MemorylessStepOptions,
  PhiloxNormalOptions,
  RenoiseOptions,
  TerminalGradientOptions,
} from '../options.generated.js';
import type { Tensor } from '../tensor.js';

export type { Noise, PerSample } from '../noise.js';
export type {
  FlowMatchingLossOptions,
  LeanAdjointStepOptions,
  MatchingLossOptions,
  MemorylessStepOptions,
  PhiloxNormalOptions,
  RenoiseOptions,
  TerminalGradientOptions,
};

/** What {@link coefficients} gives; v̂ is the EAM target. */
export interface Coefficients {
  /** κ = 2C − 1, the variance of the linear base process at time 1. */
  kappa: number;
  /** Q = 2Ct² − 2t + 1, its variance at t. */
  Q: number;
  /** D = (2Ct² − 1)/(tQ), its drift per x; −∞ at t = 0. */
  baseDrift: number;
  /** σ² = 2(1−t)/t, the memoryless noise; ∞ at t = 0. */
  sigma2: number;
  /** (2Ct − 1)/Q, its velocity per x. */
  baseVelocity: number;
  /** a_t / a_1 = κt/Q, the scale of the adjoint. */
  adjointScale: number;
  /** The EAM target is v̂ = targetX x_t + targetX1 X_1 + targetG G. */
  targetX: number;
  /** See `targetX`. */
  targetX1: number;
  /** See `targetX`. */
  targetG: number;
}

/** The loss that was computed, and its gradient. */
export interface MatchingLoss {
  /** The mean of `perSample`. */
  loss: number;
  /** w mean_i (v − v̂)², one a sample. */
  perSample: Float32Array;
  /** ∂loss/∂velocity, [B, …] in the velocity's dtype. */
  grad: Tensor;
}

export interface KernelBinding {
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
}
