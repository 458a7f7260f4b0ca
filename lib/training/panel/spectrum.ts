/** Lines are cut into pieces of at most so many pixels, whose spectra are averaged. */
const longest = 64;

/** So many rows and columns at most are looked at, evenly spread over the image. */
const mostLines = 64;

/** Power below this counts as none: it is that of rounding to 8 bits, (1/255)²/12. */
const rounding = 1.3e-6;

/** The power of one image, of rows and of columns apart, in which patterns that repeat stand out. */
export interface SpectrumMeasures {
  /** The share of the power, without the mean, above half of the highest frequency, in [0, 1]. */
  highFrequencies: number;
  /** How far the highest peak above an eighth of the sampling rate stands out from its neighbours, in decibels. */
  gridPeak: number;
}

/**
 * Measures the mean power spectra of an image's rows and columns (Welch's method with Hann windows): a grid that a
 * network leaves in its images is a peak in one of them.
 * @param luminance the image, row-major
 */
export function spectrumMeasures(luminance: Float32Array, width: number, height: number): SpectrumMeasures {
  const rows = spectrum(luminance, { count: height, stride: width }, { count: width, stride: 1 });
  const columns = spectrum(luminance, { count: width, stride: 1 }, { count: height, stride: width });
  const power = [...rows, ...columns].reduce((sum, value) => sum + value, 0);
  const high = [rows, columns].flatMap((one) => one.slice(Math.floor(one.length / 2)));
  return {
    highFrequencies: power > 0 ? high.reduce((sum, value) => sum + value, 0) / power : 0,
    gridPeak: Math.max(highestPeak(rows), highestPeak(columns)),
  };
}

interface Axis {
  count: number;
  stride: number;
}

/** The mean power of the lines at the frequencies 1 … L/2 of pieces of L pixels. */
function spectrum(pixels: Float32Array, lines: Axis, along: Axis): number[] {
  const length = Math.min(longest, along.count);
  const { window, cosines, sines } = tables(length);
  const power = new Array<number>(Math.floor(length / 2)).fill(0);
  const pieces = Math.floor(along.count / length);
  const looked = Math.min(mostLines, lines.count);
  const piece = new Float64Array(length);
  for (let line = 0; line < looked; line++) {
    const start = Math.floor((line * lines.count) / looked) * lines.stride;
    for (let part = 0; part < pieces; part++) {
      const from = start + part * length * along.stride;
      let mean = 0;
      for (let at = 0; at < length; at++) mean += pixels[from + at * along.stride]! / length;
      for (let at = 0; at < length; at++) piece[at] = window[at]! * (pixels[from + at * along.stride]! - mean);
      for (let frequency = 1; frequency <= power.length; frequency++) {
        let real = 0;
        let imaginary = 0;
        for (let at = 0; at < length; at++) {
          const turn = (frequency * at) % length;
          real += piece[at]! * cosines[turn]!;
          imaginary += piece[at]! * sines[turn]!;
        }
        power[frequency - 1]! += (real * real + imaginary * imaginary) / (looked * pieces * length);
      }
    }
  }
  return power;
}

interface Tables {
  window: Float64Array;
  cosines: Float64Array;
  sines: Float64Array;
}

function tables(length: number): Tables {
  const angle = (at: number) => (2 * Math.PI * at) / length;
  // Scaled so that white noise keeps its power.
  const hann = (at: number) => Math.sqrt(8 / 3) * (0.5 - 0.5 * Math.cos(angle(at + 0.5)));
  const each = (value: (at: number) => number) => Float64Array.from({ length }, (_, at) => value(at));
  return { window: each(hann), cosines: each((at) => Math.cos(angle(at))), sines: each((at) => Math.sin(angle(at))) };
}

/** A window spreads a peak over the frequencies beside it; those from the second to the fifth are its neighbours. */
const neighbours = [2, 3, 4, 5] as const;

function highestPeak(power: readonly number[]): number {
  const ratios = power.slice(Math.floor(power.length / 4)).map((value, index) => {
    const at = index + Math.floor(power.length / 4);
    const near = neighbours.flatMap((by) => [power[at - by], power[at + by]]).filter((one) => one !== undefined);
    return near.length ? (value + rounding) / (median(near) + rounding) : 1;
  });
  return 10 * Math.log10(Math.max(1, ...ratios));
}

function median(values: readonly number[]): number {
  const sorted = [...values].sort((one, other) => one - other);
  return (sorted[Math.floor((sorted.length - 1) / 2)]! + sorted[Math.ceil((sorted.length - 1) / 2)]!) / 2;
}
