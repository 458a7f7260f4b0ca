// The formulas of Efficient Adjoint Matching (EAM, arXiv 2605.11480) and Adjoint Matching (AM, arXiv 2409.08861) for
// trainers with networks of their own: tensors in, loss and gradient out. Nothing here knows a model.
//
// Time t runs from 0 (noise) to 1 (data): X_t = t X_1 + (1−t) ε. x is [B, …]; `t` has one entry a sample where it is an
// array. float32, float64, bfloat16 and float16, on the CPU and CUDA; half types accumulate in float32.
//
// Errors of every function: ShapeError for tensors whose shape, dtype or device does not fit, ConfigError for numbers
// outside their range and misspelt options, DisposedError for a disposed tensor, OutOfMemoryError.
//
// Each kernel comes twice. `renoise` and its like queue the work on the native thread and return a promise: the event
// loop is never held up, calls run in the order in which they were made, and large inputs use every core. `renoiseSync`
// and its like compute at once on the calling thread and on one core, on the CPU only: for inputs of some ten thousand
// numbers, where a promise costs more than the work. They do not wait for queued calls and refuse (ConfigError) a
// tensor that an unfinished one writes to; they must not write to a tensor that an unfinished call reads. Both compute
// the same bits.

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
} from './native/binding/kernels.js';
import type { Tensor } from './native/tensor.js';
import type { Binding } from './native/binding.js';
import { binding } from './native/index.js';

export type {
  Coefficients,
  FlowMatchingLossOptions,
  LeanAdjointStepOptions,
  MatchingLoss,
  MatchingLossOptions,
  MemorylessStepOptions,
  Noise,
  PerSample,
  PhiloxNormalOptions,
  RenoiseOptions,
  TerminalGradientOptions,
} from './native/binding/kernels.js';

/** What `call` gives; where the addon cannot be loaded, the promise rejects as it does for every other reason. */
function queue<T>(call: (native: Binding) => Promise<T>): Promise<T> {
  try {
    return call(binding());
  } catch (error) {
    return Promise.reject(error);
  }
}

/**
 * Computes the scalar coefficients of EAM on rectified flow.
 * @param t in [0, 1]
 * @param C above ½
 */
export function coefficients(t: number, C: number): Coefficients {
  return binding().coefficients(t, C);
}

/** Draws the standard normal numbers of a Philox stream. */
export function philoxNormal(shape: readonly number[], options: PhiloxNormalOptions): Promise<Tensor> {
  return queue((native) => native.philoxNormal(shape, options));
}

/** Draws what {@link philoxNormal} draws, at once on the calling thread. */
export function philoxNormalSync(shape: readonly number[], options: PhiloxNormalOptions): Tensor {
  return binding().philoxNormalSync(shape, options);
}

/**
 * Computes x_t of the forward process: t X_1 + (1−t) ε from data, (t/t*) Y + √((1−t)² − (t/t*)²(1−t*)²) ε from an
 * endpoint at terminal time t*. It has the shape and dtype of `x1`.
 */
export function renoise(options: RenoiseOptions): Promise<Tensor> {
  return queue((native) => native.renoise(options));
}

/** Computes what {@link renoise} does, at once on the calling thread. */
export function renoiseSync(options: RenoiseOptions): Tensor {
  return binding().renoiseSync(options);
}

/** Computes G = λ∇r + (time·v − x)/(1 − time), the gradient of the tilted log-density at the endpoint. */
export function terminalGradient(options: TerminalGradientOptions): Promise<Tensor> {
  return queue((native) => native.terminalGradient(options));
}

/** Computes what {@link terminalGradient} does, at once on the calling thread. */
export function terminalGradientSync(options: TerminalGradientOptions): Tensor {
  return binding().terminalGradientSync(options);
}

/**
 * Computes the EAM loss w ‖v_θ − v̂‖² and its gradient in one pass over memory. The target v̂ = x_t/t + (1−t)/t ŝ,
 * ŝ = ((t/t*) Y − x_t + (t/t*) κ* G)/Q with κ* = t*²κ + (1−t*)², is never stored; it is finite at both ends.
 */
export function matchingLoss(options: MatchingLossOptions): Promise<MatchingLoss> {
  return queue((native) => native.matchingLoss(options));
}

/** Computes what {@link matchingLoss} does, at once on the calling thread. */
export function matchingLossSync(options: MatchingLossOptions): MatchingLoss {
  return binding().matchingLossSync(options);
}

/** Computes the flow-matching loss ‖v_θ − (X_1 − ε)‖² and its gradient in one pass over memory, for pretraining. */
export function flowMatchingLoss(options: FlowMatchingLossOptions): Promise<MatchingLoss> {
  return queue((native) => native.flowMatchingLoss(options));
}

/** Computes what {@link flowMatchingLoss} does, at once on the calling thread. */
export function flowMatchingLossSync(options: FlowMatchingLossOptions): MatchingLoss {
  return binding().flowMatchingLossSync(options);
}

/** Takes AM's memoryless Euler–Maruyama step, X_{t+h} = x + h(2v − x/(t+h)) + √h σ ε with σ² = 2(1−t+h)/(t+h). */
export function memorylessStep(options: MemorylessStepOptions): Promise<Tensor> {
  return queue((native) => native.memorylessStep(options));
}

/** Computes what {@link memorylessStep} does, at once on the calling thread. */
export function memorylessStepSync(options: MemorylessStepOptions): Tensor {
  return binding().memorylessStepSync(options);
}

/** Computes AM's lean adjoint at t from the one at t + h: a + h(2 vjp − a/(t+h)). */
export function leanAdjointStep(options: LeanAdjointStepOptions): Promise<Tensor> {
  return queue((native) => native.leanAdjointStep(options));
}

/** Computes what {@link leanAdjointStep} does, at once on the calling thread. */
export function leanAdjointStepSync(options: LeanAdjointStepOptions): Tensor {
  return binding().leanAdjointStepSync(options);
}
