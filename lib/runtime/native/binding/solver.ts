// Solvers of the ordinary differential equation from noise to data.

import type { SolverName } from '../choices.generated.js';
import type { Tensor } from '../tensor.js';

/** Where and when the solver wants the next velocity; `x` is the result once `done`. */
export interface NativeOdeState {
  done: boolean;
  t: number;
  x: Tensor;
}

export interface NativeOdeSolver {
  start(x0: Tensor): Promise<NativeOdeState>;
  advance(velocity: Tensor, unconditional: Tensor | undefined, guidance: number): Promise<NativeOdeState>;
  /** On the calling thread; never beside the two above on one solver. */
  startSync(x0: Tensor): NativeOdeState;
  advanceSync(velocity: Tensor, unconditional: Tensor | undefined, guidance: number): NativeOdeState;
}

export interface SolverBinding {
  OdeSolver: new (solver: SolverName, times: readonly number[] | Float64Array | Float32Array) => NativeOdeSolver;
}
