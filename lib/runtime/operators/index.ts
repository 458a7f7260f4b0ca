/**
 * Differentiable operators on tensors, which a function that is given to `defineModel`, `compute` or `gradients` is
 * made of. They are recorded where they are called, with shapes and without numbers, and computed natively. All throw
 * ShapeError for arguments that do not fit each other, and ConfigError outside such a function.
 *
 * @module
 */

export * from './elementwise.js';
export * from './layers.js';
export * from './reductions.js';
export * from './shapes.js';
export type { Operand, Pair } from './record.js';
