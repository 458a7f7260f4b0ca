import { spectrumMeasures, type SpectrumMeasures } from './spectrum.js';

/** One image, [channels, height, width] in memory order, in [0, 1] but not clamped. */
export interface Picture {
  data: Float32Array;
  channels: number;
  height: number;
  width: number;
}

/** The measures of one image's pixels, whatever the image shows. */
export interface PixelMeasures extends SpectrumMeasures {
  /** The mean over pixels of the difference of luminance to the next pixel, right and down together. */
  edges: number;
  /** The entropy in bits of the colours, 8 levels a channel; of a grey image's 64 levels. */
  colourEntropy: number;
  /** The mean of (max − min)/max over the channels, in [0, 1]; only an image in colour has one. */
  saturation?: number;
  /** The mean luminance, in [0, 1]. */
  brightness: number;
  /** The share of pixels whose luminance is below 1/16. */
  darkness: number;
  /** The share of values more than 1/32 below 0 or above 1, which a picture cuts off. */
  clipping: number;
}

const dark = 1 / 16;

/** Values that lie no further outside of [0, 1] cannot be seen; a flat background strays so far at every step. */
const margin = 1 / 32;

/** Measures one image. Of an image with pixels that are not finite, every measure is NaN. */
export function pixelMeasures(picture: Picture): PixelMeasures {
  const { width, height, channels } = picture;
  const luminance = luminanceOf(picture);
  const measures = {
    ...tones(luminance),
    edges: edgesOf(luminance, width, height),
    colourEntropy: channels === 3 ? entropyOf(coloursOf(picture), 512) : entropyOf(greysOf(luminance), 64),
    ...(channels === 3 && { saturation: saturationOf(picture) }),
    clipping: clippingOf(picture.data),
    ...spectrumMeasures(luminance, width, height),
  };
  if (picture.data.every(Number.isFinite)) return measures;
  return Object.fromEntries(Object.keys(measures).map((name) => [name, NaN])) as unknown as PixelMeasures;
}

/** A value as a screen shows it. NaN stays NaN. */
const shown = (value: number): number => Math.min(1, Math.max(0, value));

/** Rec. 709's weights for three channels, else their mean; clamped to [0, 1]. */
function luminanceOf({ data, channels, width, height }: Picture): Float32Array {
  const pixels = width * height;
  const weights = channels === 3 ? [0.2126, 0.7152, 0.0722] : new Array<number>(channels).fill(1 / channels);
  const luminance = new Float32Array(pixels);
  for (const [channel, weight] of weights.entries()) {
    for (let pixel = 0; pixel < pixels; pixel++) luminance[pixel]! += weight * shown(data[channel * pixels + pixel]!);
  }
  return luminance;
}

function tones(luminance: Float32Array): { brightness: number; darkness: number } {
  let sum = 0;
  let below = 0;
  for (const value of luminance) {
    sum += value;
    if (value < dark) below++;
  }
  return { brightness: sum / luminance.length, darkness: below / luminance.length };
}

function edgesOf(luminance: Float32Array, width: number, height: number): number {
  let sum = 0;
  for (let y = 0; y < height; y++) {
    for (let x = 0; x < width; x++) {
      const at = y * width + x;
      const right = x + 1 < width ? luminance[at + 1]! - luminance[at]! : 0;
      const down = y + 1 < height ? luminance[at + width]! - luminance[at]! : 0;
      sum += Math.sqrt(right * right + down * down);
    }
  }
  return sum / (width * height);
}

/** A pixel's level of `count`; NaN is the lowest. */
const levelOf = (value: number, count: number): number => Math.min(count - 1, Math.floor(count * shown(value)) || 0);

function coloursOf({ data, width, height }: Picture): Uint16Array {
  const pixels = width * height;
  return Uint16Array.from({ length: pixels }, (_, pixel) => {
    const level = (channel: number) => levelOf(data[channel * pixels + pixel]!, 8);
    return 64 * level(0) + 8 * level(1) + level(2);
  });
}

const greysOf = (luminance: Float32Array): Uint16Array => Uint16Array.from(luminance, (value) => levelOf(value, 64));

function entropyOf(levels: Uint16Array, count: number): number {
  const counts = new Float64Array(count);
  for (const level of levels) counts[level]!++;
  return counts.reduce((sum, found) => {
    const share = found / levels.length;
    return share > 0 ? sum - share * Math.log2(share) : sum;
  }, 0);
}

function saturationOf({ data, width, height }: Picture): number {
  const pixels = width * height;
  let sum = 0;
  for (let pixel = 0; pixel < pixels; pixel++) {
    const [red, green, blue] = [data[pixel]!, data[pixels + pixel]!, data[2 * pixels + pixel]!].map(shown);
    const most = Math.max(red!, green!, blue!);
    sum += most > 0 ? (most - Math.min(red!, green!, blue!)) / most : 0;
  }
  return sum / pixels;
}

function clippingOf(data: Float32Array): number {
  let outside = 0;
  for (const value of data) if (value < -margin || value > 1 + margin) outside++;
  return outside / data.length;
}
