// The panel measures pictures whose measures are known.
import { describe, expect, it } from 'vitest';

import { distancesOf, thumbnailOf } from '../../../lib/training/panel/likeness.js';
import { pixelMeasures, type Picture } from '../../../lib/training/panel/pixels.js';

/** A picture whose value at (channel, y, x) is a function of them. */
function picture(
  [channels, height, width]: [number, number, number],
  value: (channel: number, y: number, x: number) => number,
): Picture {
  const data = Float32Array.from({ length: channels * height * width }, (_, at) => {
    const pixel = at % (height * width);
    return value(Math.floor(at / (height * width)), Math.floor(pixel / width), pixel % width);
  });
  return { data, channels, height, width };
}

/** Numbers that look random, evenly spread over [0, 1). */
function noise(): () => number {
  let state = 12345;
  return () => {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
    return state / 2 ** 32;
  };
}

describe('pixelMeasures', () => {
  it('measures the tones of a flat grey image', () => {
    const found = pixelMeasures(picture([1, 28, 28], () => 0.25));
    expect(found).toMatchObject({ darkness: 0, clipping: 0, colourEntropy: 0, edges: 0, gridPeak: 0 });
    expect(found.brightness).toBeCloseTo(0.25, 6);
    expect(found).not.toHaveProperty('saturation');
  });

  it('counts dark pixels and what a picture cuts off', () => {
    const values = [-0.5, -0.03, 0.05, 1.03, 1.5, 0.5, 0.5, 0.5];
    const found = pixelMeasures(picture([1, 8, 8], (_, y) => values[y]!));
    expect(found.darkness).toBeCloseTo(3 / 8, 6);
    expect(found.clipping).toBeCloseTo(2 / 8, 6);
    expect(found.brightness).toBeCloseTo((0 + 0 + 0.05 + 1 + 1 + 1.5) / 8, 6);
  });

  it('measures the edges of a step, and of a ramp', () => {
    expect(pixelMeasures(picture([1, 16, 16], (_, _y, x) => (x < 8 ? 0 : 1))).edges).toBeCloseTo(1 / 16, 6);
    const ramp = pixelMeasures(picture([1, 16, 16], (_, y) => y / 15));
    expect(ramp.edges).toBeCloseTo(1 / 16, 6);
  });

  it('knows the saturation and the entropy of colours', () => {
    const half = pixelMeasures(picture([3, 16, 16], (channel, _, x) => (x < 8 || channel === 0 ? 1 : 0)));
    expect(half.saturation).toBeCloseTo(0.5, 6);
    expect(half.colourEntropy).toBeCloseTo(1, 6);
    expect(half.brightness).toBeCloseTo((1 + 0.2126) / 2, 5);
    const levels = pixelMeasures(picture([1, 64, 64], (_, y) => (y + 0.5) / 64));
    expect(levels.colourEntropy).toBeCloseTo(6, 6);
  });

  it.each([
    { what: 'a checkerboard', period: 2, size: 28 },
    { what: 'a grid of 4 pixels', period: 4, size: 28 },
    { what: 'a grid of 8 pixels', period: 8, size: 256 },
  ])('sees $what in noise as a peak of the spectrum', ({ period, size }) => {
    const random = noise();
    const plain = picture([1, size, size], () => 0.4 + 0.2 * random());
    const withGrid = picture([1, size, size], (_, y, x) => {
      const value = plain.data[y * size + x]!;
      return period === 2 ? value + 0.1 * ((x + y) % 2) : value + (x % period === 0 ? 0.2 : 0);
    });
    const before = pixelMeasures(plain);
    const after = pixelMeasures(withGrid);
    expect(before.gridPeak).toBeLessThan(4);
    expect(after.gridPeak).toBeGreaterThan(before.gridPeak + 4);
    // White noise has half of its power there.
    expect(before.highFrequencies).toBeGreaterThan(0.45);
    expect(before.highFrequencies).toBeLessThan(0.6);
  });

  it('finds no peak in a smooth picture and in pictures of a few pixels', () => {
    const smooth = picture([3, 128, 128], (_, y, x) => 0.5 + 0.4 * Math.sin(x / 20) * Math.cos(y / 30));
    expect(pixelMeasures(smooth).gridPeak).toBeLessThan(1);
    for (const size of [1, 2, 3, 5, 8])
      for (const value of Object.values(pixelMeasures(picture([1, size, size], (_, y) => y / size))))
        expect(value).toBeGreaterThanOrEqual(0);
  });

  it.each([NaN, Infinity])('measures NaN alone where a picture holds %d, so that it counts nowhere', (broken) => {
    for (const channels of [1, 3]) {
      const measures = Object.values(pixelMeasures(picture([channels, 8, 8], (_, y, x) => (x + y ? 0.5 : broken))));
      expect(measures.length).toBeGreaterThan(6);
      for (const value of measures) expect(value).toBeNaN();
    }
  });
});

describe('distancesOf', () => {
  const flat = (value: number) => thumbnailOf(picture([1, 40, 24], () => value));

  it('is the mean distance to the others, and to those of the same prompt', () => {
    const { diversity, promptDiversity } = distancesOf([flat(0), flat(0.5), flat(1)], ['a', 'a', 'b']);
    expect(diversity.map((value) => Number(value.toFixed(6)))).toEqual([0.75, 0.5, 0.75]);
    expect(promptDiversity!.slice(0, 2).map((value) => Number(value.toFixed(6)))).toEqual([0.5, 0.5]);
    expect(promptDiversity![2]).toBeNaN();
  });

  it('leaves out an image that is not finite', () => {
    const { diversity } = distancesOf([flat(0), flat(0.5), flat(1), flat(NaN)], ['a', 'b', 'c', 'd']);
    expect(diversity.map((value) => Number(value.toFixed(6)))).toEqual([0.75, 0.5, 0.75, NaN]);
  });

  it('knows no distance within a prompt where every prompt has one image', () => {
    expect(distancesOf([flat(0), flat(1)], ['a', 'b'])).not.toHaveProperty('promptDiversity');
  });

  it('is zero for one fixed picture', () => {
    expect(distancesOf([flat(0.3), flat(0.3)], ['a', 'b']).diversity).toEqual([0, 0]);
  });
});

describe('thumbnailOf', () => {
  it('keeps the mean of each part, clamped', () => {
    const thumbnail = thumbnailOf(picture([2, 32, 32], (channel, y) => (channel ? 2 : y < 16 ? 0 : 1)));
    expect(thumbnail).toHaveLength(2 * 16 * 16);
    expect(thumbnail.slice(0, 8 * 16).every((value) => value === 0)).toBe(true);
    expect(thumbnail.slice(8 * 16).every((value) => value === 1)).toBe(true);
  });
});
