// The formulas of Efficient Adjoint Matching (EAM, arXiv 2605.11480) and Adjoint Matching (AM, arXiv 2409.08861) for
// trainers with networks of their own: tensors in, loss and gradient out. Nothing here knows a model.
//
// Time t runs from 0 (noise) to 1 (data): X_t = t X_1 + (1−t) ε. x is [B, …]; `t` has one entry a sample where it is an
// array. float32, float64, bfloat16 and float16, on the CPU and CUDA; half types accumulate in float32.
//
// Errors of every function: ShapeError for tensors whose shape, dtype or device does not fit, ConfigError for numbers
// outside their range and misspelt options, DisposedError for a disposed tensor, OutOfMemoryError.
//
// Each kernel comes twice. `renoise` and its like queue the work on the native thread and return a promise: the event loop
// is never held up, calls run in the order in which they were made, and large inputs use every core. `renoiseSync` and its
// like compute at once on the calling thread and on one core, on the CPU only: for inputs of some ten thousand numbers, where
// a promise costs more than the work. They do not wait for queued calls and refuse (ConfigError) a tensor that an unfinished
// one writes to; they must not write to a tensor that an unfinished call reads. Both compute the same bits.

import { binding } from './native/index.js';
import type { Device, DType, Tensor } from './tensor.js';

/** One number a sample. */
export type PerSample = Float32Array | Float64Array | readonly number[];

/**
 * ε ~ N(0, I): a tensor of the sample's shape, or a Philox4x32-10 generator that the kernel evaluates on the fly and that
 * gives the same numbers on every device and for any number of threads. One `stream` numbers the elements of the whole
 * tensor; several, one a sample, number each sample's own.
 */
export type Noise =
  | Tensor
  | {
      /** Philox's key, 0 to 2⁶⁴ − 1. */
      seed: bigint;
      /** The upper half of Philox's counter, 0 to 2⁶⁴ − 1: one for the tensor, or one a sample. */
      stream: bigint | readonly bigint[] | BigUint64Array;
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

/** Of {@link philoxNormal}. */
export interface PhiloxNormalOptions {
  /** In [0, 2⁶⁴), the generator's key. */
  seed: bigint;
  /** In [0, 2⁶⁴): one numbers the elements of the whole tensor; several, one a sample, number each sample's own. */
  stream: bigint | readonly bigint[] | BigUint64Array;
  /** Default 'float32'. */
  dtype?: DType | undefined;
  /** Default 'cpu'. */
  device?: Device | undefined;
  /** Takes the result and is what the call returns: a tensor of the shape, dtype and device asked for. */
  out?: Tensor | undefined;
}

/** Of {@link renoise}. */
export interface RenoiseOptions {
  /** Data X_1, [B, …], or with `terminalTime` t* the endpoint Y = X_{t*}. */
  x1: Tensor;
  /** In [0, terminalTime]. */
  t: PerSample;
  /** ε. */
  noise: Noise;
  /** In (0, 1], default 1. */
  terminalTime?: number | undefined;
  /** Takes the result and is what the call returns: like `x1`, which it may be; never part of an input. */
  out?: Tensor | undefined;
}

/** Of {@link terminalGradient}. */
export interface TerminalGradientOptions {
  /** [B, …], the endpoint. */
  x: Tensor;
  /** [B, …], the pretrained velocity at (x, time). */
  velocity: Tensor;
  /** [B, …], ∇r. */
  rewardGrad: Tensor;
  /** λ, how strongly the reward tilts the model. */
  lambda: number;
  /** In [0, 1): 1 − δ. */
  time: number;
  /** Takes the result and is what the call returns: like `x`, which it may be; never part of an input. */
  out?: Tensor | undefined;
}

/** Of {@link matchingLoss}. */
export interface MatchingLossOptions {
  /** [B, …], v_θ(x_t, t). */
  velocity: Tensor;
  /** [B, …], what was given to {@link renoise}. */
  x1: Tensor;
  /** [B, …], G of {@link terminalGradient}. */
  terminalGradient: Tensor;
  /** In [0, terminalTime], what was given to {@link renoise}. */
  t: PerSample;
  /** Above ½: the variance κ = 2C − 1 of the base. It trades the target's two sources of variance and biases nothing. */
  C: number;
  /** What was given to {@link renoise}: it is drawn again. Either this or `x`. */
  noise?: Noise | undefined;
  /** [B, …], x_t, what {@link renoise} gave: on a CPU, reading it costs less than drawing the noise again. */
  x?: Tensor | undefined;
  /** w = 1 (`'velocity'`, the default) or min(2t/(1−t), cap) (`'adjoint_matching'`). */
  weighting?: 'velocity' | 'adjoint_matching' | undefined;
  /** Above 0, default 20. */
  cap?: number | undefined;
  /** What was given to {@link renoise}; default 1. */
  terminalTime?: number | undefined;
  /** Takes the gradient and is returned as `grad`: like `velocity`, which it may be; never part of an input. */
  grad?: Tensor | undefined;
}

/** Of {@link flowMatchingLoss}. */
export interface FlowMatchingLossOptions {
  /** [B, …], v_θ(x_t, t). */
  velocity: Tensor;
  /** [B, …], data. */
  x1: Tensor;
  /** What was given to {@link renoise}. */
  noise: Noise;
  /** Takes the gradient and is returned as `grad`: like `velocity`, which it may be; never part of an input. */
  grad?: Tensor | undefined;
}

/** A loss and its gradient. */
export interface MatchingLoss {
  /** The mean of `perSample`. */
  loss: number;
  /** w mean_i (v − v̂)², one a sample. */
  perSample: Float32Array;
  /** ∂loss/∂velocity, [B, …] in the velocity's dtype. */
  grad: Tensor;
}

/** Of {@link memorylessStep}. */
export interface MemorylessStepOptions {
  /** [B, …], X_t. */
  x: Tensor;
  /** [B, …], v_θ(x, t). */
  velocity: Tensor;
  /** In [0, 1). */
  t: number;
  /** Above 0, with t + h ≤ 1. */
  h: number;
  /** ε. */
  noise: Noise;
  /** Takes the result and is what the call returns: like `x`, which it may be; never part of an input. */
  out?: Tensor | undefined;
}

/** Of {@link leanAdjointStep}. */
export interface LeanAdjointStepOptions {
  /** [B, …], a at t + h. */
  adjoint: Tensor;
  /** [B, …], aᵀ ∂v_pre/∂x at (x_t, t). */
  vjp: Tensor;
  /** In [0, 1). */
  t: number;
  /** Above 0, with t + h ≤ 1. */
  h: number;
  /** Takes the result and is what the call returns: like `adjoint`, which it may be; never part of an input. */
  out?: Tensor | undefined;
}

const native = binding();

/**
 * The scalar coefficients of EAM on rectified flow.
 * @param t in [0, 1]
 * @param C above ½
 */
export const coefficients: (t: number, C: number) => Coefficients = native.coefficients;

/** Standard normal numbers of a Philox stream. */
export const philoxNormal: (shape: readonly number[], options: PhiloxNormalOptions) => Promise<Tensor> =
  native.philoxNormal;

/** {@link philoxNormal}, computed at once on the calling thread. */
export const philoxNormalSync: (shape: readonly number[], options: PhiloxNormalOptions) => Tensor =
  native.philoxNormalSync;

/**
 * x_t of the forward process: t X_1 + (1−t) ε from data, (t/t*) Y + √((1−t)² − (t/t*)²(1−t*)²) ε from an endpoint at
 * terminal time t*. Shape and dtype of `x1`.
 */
export const renoise: (options: RenoiseOptions) => Promise<Tensor> = native.renoise;

/** {@link renoise}, computed at once on the calling thread. */
export const renoiseSync: (options: RenoiseOptions) => Tensor = native.renoiseSync;

/** G = λ∇r + (time·v − x)/(1 − time): the gradient of the tilted log-density at the endpoint. */
export const terminalGradient: (options: TerminalGradientOptions) => Promise<Tensor> = native.terminalGradient;

/** {@link terminalGradient}, computed at once on the calling thread. */
export const terminalGradientSync: (options: TerminalGradientOptions) => Tensor = native.terminalGradientSync;

/**
 * The EAM loss w ‖v_θ − v̂‖² and its gradient in one pass over memory. The target v̂ = x_t/t + (1−t)/t ŝ,
 * ŝ = ((t/t*) Y − x_t + (t/t*) κ* G)/Q with κ* = t*²κ + (1−t*)², is never stored; it is finite at both ends.
 */
export const matchingLoss: (options: MatchingLossOptions) => Promise<MatchingLoss> = native.matchingLoss;

/** {@link matchingLoss}, computed at once on the calling thread. */
export const matchingLossSync: (options: MatchingLossOptions) => MatchingLoss = native.matchingLossSync;

/** The flow-matching loss ‖v_θ − (X_1 − ε)‖² and its gradient in one pass over memory, for pretraining. */
export const flowMatchingLoss: (options: FlowMatchingLossOptions) => Promise<MatchingLoss> = native.flowMatchingLoss;

/** {@link flowMatchingLoss}, computed at once on the calling thread. */
export const flowMatchingLossSync: (options: FlowMatchingLossOptions) => MatchingLoss = native.flowMatchingLossSync;

/** AM's memoryless Euler–Maruyama step, X_{t+h} = x + h(2v − x/(t+h)) + √h σ ε with σ² = 2(1−t+h)/(t+h). */
export const memorylessStep: (options: MemorylessStepOptions) => Promise<Tensor> = native.memorylessStep;

/** {@link memorylessStep}, computed at once on the calling thread. */
export const memorylessStepSync: (options: MemorylessStepOptions) => Tensor = native.memorylessStepSync;

/** AM's lean adjoint at t from the one at t + h: a + h(2 vjp − a/(t+h)). */
export const leanAdjointStep: (options: LeanAdjointStepOptions) => Promise<Tensor> = native.leanAdjointStep;

/** {@link leanAdjointStep}, computed at once on the calling thread. */
export const leanAdjointStepSync: (options: LeanAdjointStepOptions) => Tensor = native.leanAdjointStepSync;
