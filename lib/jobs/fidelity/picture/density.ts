import type { GaussianMixture } from '../../../runtime/native/binding.js';

/** The square that every panel shows, in the problem's coordinates. */
export interface View {
  /** The lower left corner. */
  left: number;
  bottom: number;
  side: number;
  /** Pixels a side. */
  pixels: number;
}

/** Densities at the centres of a view's pixels, the topmost row first. */
export type Density = Float64Array;

/** How far beyond its mean a mode is shown, in standard deviations. */
const reach = 3.2;

/** A square around every mode of all mixtures. */
export function viewOf(mixtures: readonly GaussianMixture[], pixels: number): View {
  const range = (axis: number): [number, number] => {
    const ends = mixtures.flatMap(({ means, variances }) =>
      means.flatMap((mean, mode) => {
        const spread = reach * Math.sqrt(variances[mode]![axis]!);
        return [mean[axis]! - spread, mean[axis]! + spread];
      }),
    );
    return [Math.min(...ends), Math.max(...ends)];
  };
  const [[left, right], [bottom, top]] = [range(0), range(1)];
  const side = Math.max(right - left, top - bottom);
  return { left: (left + right - side) / 2, bottom: (bottom + top - side) / 2, side, pixels };
}

/** The density of a mixture of two dimensions. */
export function exactDensity({ means, variances, weights }: GaussianMixture, view: View): Density {
  const { pixels, side, left, bottom } = view;
  const density = new Float64Array(pixels * pixels);
  for (const [mode, mean] of means.entries()) {
    const [vx, vy] = variances[mode] as [number, number];
    const scale = weights[mode]! / (2 * Math.PI * Math.sqrt(vx * vy));
    for (let row = 0; row < pixels; row++) {
      const y = bottom + (side * (pixels - row - 0.5)) / pixels - mean[1]!;
      for (let column = 0; column < pixels; column++) {
        const x = left + (side * (column + 0.5)) / pixels - mean[0]!;
        density[row * pixels + column]! += scale * Math.exp(-0.5 * (x ** 2 / vx + y ** 2 / vy));
      }
    }
  }
  return density;
}

/**
 * The density of samples, smoothed with a Gaussian kernel.
 * @param samples a point after another, two numbers each; those outside the view count as drawn all the same
 * @param bandwidth the kernel's standard deviation, in the problem's coordinates
 */
export function sampledDensity(samples: ArrayLike<number>, view: View, bandwidth: number): Density {
  const { pixels, side, left, bottom } = view;
  const counts = new Float64Array(pixels * pixels);
  for (let i = 0; i < samples.length; i += 2) {
    const column = Math.floor((pixels * (samples[i]! - left)) / side);
    const row = pixels - 1 - Math.floor((pixels * (samples[i + 1]! - bottom)) / side);
    if (column >= 0 && column < pixels && row >= 0 && row < pixels) counts[row * pixels + column]! += 1;
  }
  const area = (side / pixels) ** 2;
  const kernel = gaussianKernel((bandwidth * pixels) / side);
  const across = blur(counts, kernel, pixels, 1);
  return blur(across, kernel, pixels, pixels).map((count) => count / ((samples.length / 2) * area));
}

/** Weights that sum to 1, at whole pixels from −3 to 3 standard deviations. */
function gaussianKernel(std: number): number[] {
  const half = Math.ceil(3 * std);
  const values = Array.from({ length: 2 * half + 1 }, (_, i) => Math.exp(-0.5 * ((i - half) / std) ** 2));
  const total = values.reduce((sum, value) => sum + value, 0);
  return values.map((value) => value / total);
}

/** @param stride 1 to smooth along rows, a row's length to smooth along columns */
function blur(values: Density, kernel: readonly number[], pixels: number, stride: number): Density {
  const half = (kernel.length - 1) / 2;
  const smooth = new Float64Array(values.length);
  for (let index = 0; index < values.length; index++) {
    const place = Math.floor(index / stride) % pixels;
    for (let k = Math.max(-half, -place); k <= Math.min(half, pixels - 1 - place); k++)
      smooth[index]! += kernel[k + half]! * values[index + k * stride]!;
  }
  return smooth;
}
