import type { DType, Tensor } from '../native/tensor.js';
import { record, type Operand } from './record.js';

/** Computes a + b; shapes broadcast as NumPy's do, here and in every operator of two tensors. */
export const add = (a: Operand, b: Operand): Tensor => record('add', a, b);

/** Computes a − b. */
export const sub = (a: Operand, b: Operand): Tensor => record('sub', a, b);

/** Computes a ⊙ b, element by element. */
export const mul = (a: Operand, b: Operand): Tensor => record('mul', a, b);

/** Computes a / b, element by element. */
export const div = (a: Operand, b: Operand): Tensor => record('div', a, b);

/** Computes sum + a ⊙ b in one pass over memory. */
export const addcmul = (sum: Tensor, a: Tensor, b: Tensor): Tensor => record('addcmul', sum, a, b);

/** Takes the larger of a and b, element by element; where they are equal, each gets half of the gradient. */
export const maximum = (a: Operand, b: Operand): Tensor => record('maximum', a, b);

/** Takes the smaller of a and b, element by element; where they are equal, each gets half of the gradient. */
export const minimum = (a: Operand, b: Operand): Tensor => record('minimum', a, b);

/** Raises each element to a power that is a number. */
export const pow = (x: Tensor, exponent: number): Tensor => record('pow', x, exponent);

/** Limits each element to [lowest, highest]; the gradient is zero beyond. */
export const clamp = (x: Tensor, lowest: number, highest: number): Tensor => record('clamp', x, lowest, highest);

/** Computes −x. */
export const neg = (x: Tensor): Tensor => record('neg', x);

/** Computes |x|; its gradient at 0 is 0. */
export const abs = (x: Tensor): Tensor => record('abs', x);

/** Computes eˣ. */
export const exp = (x: Tensor): Tensor => record('exp', x);

/** Computes the natural logarithm. */
export const log = (x: Tensor): Tensor => record('log', x);

/** Computes √x. */
export const sqrt = (x: Tensor): Tensor => record('sqrt', x);

/** Computes 1/√x. */
export const rsqrt = (x: Tensor): Tensor => record('rsqrt', x);

/** Computes x². */
export const square = (x: Tensor): Tensor => record('square', x);

/** Computes the sine of an angle in radians. */
export const sin = (x: Tensor): Tensor => record('sin', x);

/** Computes the cosine of an angle in radians. */
export const cos = (x: Tensor): Tensor => record('cos', x);

/** Computes the hyperbolic tangent. */
export const tanh = (x: Tensor): Tensor => record('tanh', x);

/** Computes 1/(1 + e⁻ˣ). */
export const sigmoid = (x: Tensor): Tensor => record('sigmoid', x);

/** Computes max(x, 0). */
export const relu = (x: Tensor): Tensor => record('relu', x);

/** Computes x · sigmoid(x), which is also called Swish. */
export const silu = (x: Tensor): Tensor => record('silu', x);

/** Computes log(1 + eˣ). */
export const softplus = (x: Tensor): Tensor => record('softplus', x);

/**
 * Computes GELU, x · Φ(x) with the normal distribution's Φ (arXiv 1606.08415).
 * @param approximate `'tanh'` takes the approximation by a hyperbolic tangent, `'none'` (the default) Φ itself.
 */
export const gelu = (x: Tensor, approximate: 'none' | 'tanh' = 'none'): Tensor => record('gelu', x, approximate);

/** Converts the numbers to another floating-point type. */
export const cast = (x: Tensor, dtype: Exclude<DType, 'int32' | 'int64' | 'uint8'>): Tensor => record('cast', x, dtype);
