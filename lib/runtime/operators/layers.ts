import type { Tensor } from '../native/tensor.js';
import { pair, record, type Pair } from './record.js';

/** Multiplies matrices, [..., m, k] by [..., k, n]; the dimensions before them broadcast. */
export const matmul = (a: Tensor, b: Tensor): Tensor => record('matmul', a, b);

/** Computes x Wᵀ + bias of x [..., in], weight [out, in] and bias [out]. */
export const linear = (x: Tensor, weight: Tensor, bias?: Tensor): Tensor => record('linear', x, weight, bias);

/** These are the options of {@link conv2d}. */
export interface ConvolutionOptions {
  /** The kernel moves by so many pixels. @defaultValue 1 */
  stride?: Pair | undefined;
  /** So many zeros are added at each border. @defaultValue 0 */
  padding?: Pair | undefined;
  /** The kernel's elements are so many pixels apart. @defaultValue 1 */
  dilation?: Pair | undefined;
  /** Channels are convolved in so many groups. @defaultValue 1 */
  groups?: number | undefined;
}

/** Convolves x [B, in, H, W] with weight [out, in/groups, h, w] and adds bias [out]. */
export const conv2d = (
  x: Tensor,
  weight: Tensor,
  bias?: Tensor,
  { stride = 1, padding = 0, dilation = 1, groups = 1 }: ConvolutionOptions = {},
): Tensor => record('conv2d', x, weight, bias, pair(stride), pair(padding), pair(dilation), groups);

/** These are the options of {@link convTranspose2d}. */
export interface TransposedConvolutionOptions {
  /** A pixel of x is so many pixels from the next in the result. @defaultValue 1 */
  stride?: Pair | undefined;
  /** So many pixels are cut off at each border. @defaultValue 0 */
  padding?: Pair | undefined;
  /** So many pixels are added at the lower and the right border. @defaultValue 0 */
  outputPadding?: Pair | undefined;
  /** Channels are convolved in so many groups. @defaultValue 1 */
  groups?: number | undefined;
}

/** Is to {@link conv2d} what its gradient is: of x [B, in, H, W], weight [in, out/groups, h, w] and bias [out]. */
export const convTranspose2d = (
  x: Tensor,
  weight: Tensor,
  bias?: Tensor,
  { stride = 1, padding = 0, outputPadding = 0, groups = 1 }: TransposedConvolutionOptions = {},
): Tensor => record('convTranspose2d', x, weight, bias, pair(stride), pair(padding), pair(outputPadding), groups);

/** Takes means of windows of `size` pixels of x [B, channels, H, W], which are `stride` apart; default: `size`. */
export const averagePool2d = (x: Tensor, size: Pair, stride: Pair = size): Tensor =>
  record('averagePool2d', x, pair(size), pair(stride));

/**
 * Resizes x [B, channels, H, W] to [height, width] pixels.
 * @param mode `'nearest'` (the default) repeats pixels, `'bilinear'` interpolates between the centres of four.
 */
export const interpolate = (
  x: Tensor,
  size: readonly [number, number],
  mode: 'nearest' | 'bilinear' = 'nearest',
): Tensor => record('interpolate', x, size, mode);

/** Takes rows of a table [rows, width] by their numbers, ids [...] of int32 or int64, to [..., width]. */
export const embedding = (table: Tensor, ids: Tensor): Tensor => record('embedding', table, ids);

/** These are the options of a normalisation. */
export interface NormOptions {
  /** What the normalised numbers are multiplied by. */
  weight?: Tensor | undefined;
  /** What is added to them after that. */
  bias?: Tensor | undefined;
  /** It is added to the variance. */
  epsilon?: number | undefined;
}

/**
 * Normalises the last dimension to mean 0 and variance 1 (arXiv 1607.06450). `weight` and `bias` have that dimension's
 * size; `epsilon` is 1e-5 where it is left out.
 */
export const layerNorm = (x: Tensor, { weight, bias, epsilon = 1e-5 }: NormOptions = {}): Tensor =>
  record('layerNorm', x, weight, bias, epsilon);

/**
 * Normalises the channels of x [B, channels, ...] in groups, each sample for itself (arXiv 1803.08494). `weight` and
 * `bias` are [channels]; `epsilon` is 1e-5 where it is left out.
 */
export const groupNorm = (x: Tensor, groups: number, { weight, bias, epsilon = 1e-5 }: NormOptions = {}): Tensor =>
  record('groupNorm', x, groups, weight, bias, epsilon);

/** Divides the last dimension by its root mean square (arXiv 1910.07467); `epsilon` is 1e-6 where it is left out. */
export const rmsNorm = (x: Tensor, { weight, epsilon = 1e-6 }: Omit<NormOptions, 'bias'> = {}): Tensor =>
  record('rmsNorm', x, weight, epsilon);

/** These are the options of {@link attention}. */
export interface AttentionOptions {
  /** It is added to the logits, and broadcasts to [..., L, S]. */
  mask?: Tensor | undefined;
  /** Whether a token sees only itself and those before it. @defaultValue false */
  causal?: boolean | undefined;
  /** The logits are multiplied by it; default: 1/√(width of a head). */
  scale?: number | undefined;
}

/**
 * Computes softmax(scale · q kᵀ + mask) v through LibTorch's fused kernels: q [..., L, d], k [..., S, d] and
 * v [..., S, e] to [..., L, e]; heads are a dimension before the tokens', [B, heads, L, d].
 */
export const attention = (
  q: Tensor,
  k: Tensor,
  v: Tensor,
  { mask, causal = false, scale }: AttentionOptions = {},
): Tensor => record('attention', q, k, v, mask, causal, scale);
