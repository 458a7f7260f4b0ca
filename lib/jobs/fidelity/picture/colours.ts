/**
 * A colour for each value from 0 to 1. On its way from a dark violet by way of red to a pale yellow, lightness and hue
 * change evenly in OKLab (Björn Ottosson, "A perceptual color space for image processing", 2020), so that equal steps
 * look equal, and brighter is more to the colour-blind and in grey, too. All of the way is within sRGB.
 * @returns sRGB, 0 to 255
 */
export function colourOf(value: number): [red: number, green: number, blue: number] {
  const u = Math.min(1, Math.max(0, value));
  const chroma = 0.06 - 0.025 * u + 0.42 * u * (1 - u);
  const hue = ((285 + 170 * u) * Math.PI) / 180;
  return srgbOf(0.16 + 0.81 * u, chroma * Math.cos(hue), chroma * Math.sin(hue));
}

function srgbOf(lightness: number, a: number, b: number): [number, number, number] {
  const l = (lightness + 0.3963377774 * a + 0.2158037573 * b) ** 3;
  const m = (lightness - 0.1055613458 * a - 0.0638541728 * b) ** 3;
  const s = (lightness - 0.0894841775 * a - 1.291485548 * b) ** 3;
  return [
    encoded(4.0767416621 * l - 3.3077115913 * m + 0.2309699292 * s),
    encoded(-1.2684380046 * l + 2.6097574011 * m - 0.3413193965 * s),
    encoded(-0.0041960863 * l - 0.7034186147 * m + 1.707614701 * s),
  ];
}

/** sRGB's transfer function (IEC 61966-2-1), to a byte. */
function encoded(linear: number): number {
  const clamped = Math.min(1, Math.max(0, linear));
  const value = clamped <= 0.0031308 ? 12.92 * clamped : 1.055 * clamped ** (1 / 2.4) - 0.055;
  return Math.round(255 * value);
}
