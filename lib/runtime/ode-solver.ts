import { z } from 'zod';

import { abortSignal, callback } from '../schema/options.js';
import { validate } from '../schema/validate.js';
import { ConfigError } from '../errors.js';
import { binding } from './native/index.js';
import type { SolverName } from './native/choices.generated.js';
import type { Tensor } from './native/tensor.js';

export type { SolverName };

/** Computes dx/dt at (x, t), in the shape of x. */
export type Velocity = (x: Tensor, t: number) => Tensor | Promise<Tensor>;

/** How the solver goes. */
export interface OdeSolverOptions {
  /**
   * `euler`: one velocity a step. `heun`: two, one on a step that ends at t = 1. `midpoint`: two, the second at t +
   * h/2. `dpmpp2m`: DPM-Solver++(2M), one.
   */
  solver: SolverName;
  /** The times that it goes through: at least two, in [0, 1], each larger than the one before. */
  times: readonly number[] | Float64Array | Float32Array;
}

/** {@link Velocity} that answers at once. */
export type VelocitySync = (x: Tensor, t: number) => Tensor;

/** Options of one {@link OdeSolver.run}. */
export interface OdeRunOptions {
  /** A second velocity for classifier-free guidance: the solver follows u + guidance·(v − u). */
  unconditional?: Velocity | undefined;
  /** Needs `unconditional`; default 1. */
  guidance?: number | undefined;
  /** Stops the run between two velocities. */
  signal?: AbortSignal | undefined;
}

/** Options of one {@link OdeSolver.runSync}. */
export interface OdeRunSyncOptions {
  /** See {@link OdeRunOptions}. */
  unconditional?: VelocitySync | undefined;
  /** Needs `unconditional`; default 1. */
  guidance?: number | undefined;
}

/** The values are checked by the native solver. */
const solverSchema = z.strictObject({ solver: z.unknown(), times: z.unknown() });
const runSyncSchema = z.strictObject({ unconditional: callback.optional(), guidance: z.number().optional() });
const runSchema = runSyncSchema.extend({ signal: abortSignal.optional() });

function checkGuidance(guidance: number | undefined, unconditional: unknown): void {
  if (guidance !== undefined && !unconditional) {
    throw new ConfigError('OdeSolver: `guidance` needs `unconditional`, the velocity to guide away from');
  }
}

/** A deterministic few-step solver of dx/dt = v(x, t) from the first of its times to the last. */
export class OdeSolver {
  /** @throws {@link ConfigError} for an unknown solver or times that do not increase within [0, 1] */
  constructor(private readonly options: OdeSolverOptions) {
    validate(solverSchema, options, 'OdeSolver');
    this.native();
  }

  /**
   * x at the last time. Runs share nothing, so one solver can serve several at once.
   * @param x0 [B, …], x at the first time
   * @throws what `velocity` throws; the signal's reason; {@link ShapeError} where a velocity does not have the shape of
   * x
   */
  async run(velocity: Velocity, x0: Tensor, options: OdeRunOptions = {}): Promise<Tensor> {
    validate(runSchema, options, 'OdeSolver.run options');
    const { unconditional, guidance, signal } = options;
    checkGuidance(guidance, unconditional);
    signal?.throwIfAborted();
    const solver = this.native();
    let state = await solver.start(x0);
    while (!state.done) {
      const { x, t } = state;
      const conditional = await velocity(x, t);
      signal?.throwIfAborted();
      const free = await unconditional?.(x, t);
      state = await solver.advance(conditional, free, guidance ?? 1);
      signal?.throwIfAborted();
    }
    return state.x;
  }

  /**
   * What {@link OdeSolver.run} gives, at once: the solver's own arithmetic runs on the calling thread and one core. For
   * small tensors on the CPU, with velocities that answer at once.
   */
  runSync(velocity: VelocitySync, x0: Tensor, options: OdeRunSyncOptions = {}): Tensor {
    validate(runSyncSchema, options, 'OdeSolver.runSync options');
    const { unconditional, guidance } = options;
    checkGuidance(guidance, unconditional);
    const solver = this.native();
    let state = solver.startSync(x0);
    while (!state.done) {
      const { x, t } = state;
      state = solver.advanceSync(velocity(x, t), unconditional?.(x, t), guidance ?? 1);
    }
    return state.x;
  }

  private native() {
    return new (binding().OdeSolver)(this.options.solver, this.options.times);
  }
}
