// The float64 reference values of vectors/eam.json: to be met in float64 to 1e-12, in float32 to 1e-5 of the largest
// number, in the half types to one rounding of what float64 gives for the same stored inputs.
import { readFileSync } from 'node:fs';

import type { SolverName } from '../../lib/runtime/ode-solver.js';
import type { Rows } from './numbers.js';

interface Matching {
  terminal: 'plugin' | 'consistent';
  C: number;
  lam: number;
  delta: number;
  t: number[];
  x1?: Rows;
  y?: Rows;
  eps: Rows;
  reward_grad?: Rows;
  reward_grad_y?: Rows;
  v_pretrained_terminal: Rows;
  v: Rows;
  x1_hat?: Rows;
  terminal_score: Rows;
  G: Rows;
  adjoint_terminal?: Rows;
  adjoint_t?: Rows;
  target_score?: Rows;
  x_t: Rows;
  target: Rows;
  loss: Record<'velocity' | 'adjoint_matching', number | undefined>;
  per_sample?: Record<string, number[]>;
  grad_v: Record<string, Rows>;
}

interface Vectors {
  philox: { counter: number[]; key: number[]; output: number[] }[];
  normals: { seed: string; stream: string; values: number[] }[];
  coefficients: Record<string, number>[];
  matching: Matching[];
  solvers: { solver: SolverName; times: number[]; x0: number[]; states: number[][] }[];
  adjoint_matching: {
    steps: number;
    lam: number;
    x0: number[];
    noise: number[][];
    states: number[][];
    adjoints: number[][];
    loss_per_step: number[];
  };
}

export const vectors = JSON.parse(readFileSync(new URL('../vectors/eam.json', import.meta.url), 'utf8')) as Vectors;
export const precise = [
  ['float64', 1e-12],
  ['float32', 1e-5],
] as const;
export const halves = ['float16', 'bfloat16'] as const;
