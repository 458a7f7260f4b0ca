// The picture of `eam fidelity --picture`: densities, colours, and what the SVG holds.
import { existsSync, mkdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';

import { decode } from 'fast-png';
import { describe, expect, it } from 'vitest';

import { colourOf } from '../../lib/jobs/fidelity/picture/colours.js';
import { exactDensity, sampledDensity, viewOf, type View } from '../../lib/jobs/fidelity/picture/density.js';
import type { FidelityResult } from '../../lib/jobs/fidelity/result.js';
import { readProblem } from '../../lib/jobs/fidelity/problem.js';
import { tiltedMixture } from '../../lib/jobs/fidelity/tilted-mixture.js';
import { binding } from '../../lib/runtime/native/index.js';
import { eam } from '../helpers/command-line.js';
import { temporaryFolder } from '../helpers/tiny-run.js';

const mixture = {
  means: [
    [-1, 0.5],
    [2, -1],
  ],
  variances: [
    [0.3, 0.2],
    [0.5, 0.4],
  ],
  weights: [0.3, 0.7],
};
const cell = ({ side, pixels }: View): number => (side / pixels) ** 2;
const total = (values: Float64Array): number => values.reduce((sum, value) => sum + value, 0);

describe('densities', () => {
  const view = viewOf([mixture], 120);

  it('are of a square that holds 3.2 standard deviations around every mode', () => {
    const { left, bottom, side } = view;
    expect(side).toBeCloseTo(2 + 3.2 * Math.sqrt(0.5) - (-1 - 3.2 * Math.sqrt(0.3)), 12);
    expect(left).toBeCloseTo(-1 - 3.2 * Math.sqrt(0.3), 12);
    // The shorter side has the same room above and below.
    const [low, high] = [-1 - 3.2 * Math.sqrt(0.4), 0.5 + 3.2 * Math.sqrt(0.2)];
    expect(bottom + side / 2).toBeCloseTo((low + high) / 2, 12);
  });

  it('are exact at the centres of pixels, the topmost row first', () => {
    const density = exactDensity(mixture, view);
    expect(total(density) * cell(view)).toBeCloseTo(1, 2);
    const [row, column] = [30, 80];
    const x = view.left + ((column + 0.5) / 120) * view.side;
    const y = view.bottom + (1 - (row + 0.5) / 120) * view.side;
    const normal = (mode: number) => {
      const [[mx, my], [vx, vy]] = [mixture.means[mode]!, mixture.variances[mode]!] as [number[], number[]];
      return Math.exp(-((x - mx!) ** 2) / vx! / 2 - (y - my!) ** 2 / vy! / 2) / (2 * Math.PI * Math.sqrt(vx! * vy!));
    };
    expect(density[row * 120 + column]).toBeCloseTo(0.3 * normal(0) + 0.7 * normal(1), 12);
  });

  it('of many samples are those of the mixture that is wider by the kernel', async () => {
    const count = 200_000;
    const samples = (await (await binding().drawMixture(mixture, count, 3n, 'cpu')).data()) as Float32Array;
    const width = 0.15;
    const wider = { ...mixture, variances: mixture.variances.map((each) => each.map((value) => value + width ** 2)) };
    const [found, wanted] = [sampledDensity(samples, view, width), exactDensity(wider, view)];
    const peak = Math.max(...wanted);
    const errors = found.map((value, index) => Math.abs(value - wanted[index]!));
    expect(Math.max(...errors) / peak).toBeLessThan(0.05);
    expect(total(found) * cell(view)).toBeCloseTo(1, 2);
  });

  it('count samples outside the view as drawn', () => {
    const inside = [0, 0];
    const density = sampledDensity([...inside, 100, 0, 0, 100, 0, -100], view, 0.1);
    expect(total(density) * cell(view)).toBeCloseTo(0.25, 6);
  });
});

it('colours take steps of one size in OKLab, and grow lighter', () => {
  const steps = 16;
  const places = Array.from({ length: steps + 1 }, (_, i) => okLab(colourOf(i / steps)));
  const lengths = places.slice(1).map((place, i) => Math.hypot(...place.map((value, k) => value - places[i]![k]!)));
  const lightness = places.slice(1).map((place, i) => place[0]! - places[i]![0]!);
  // A byte is 0.003 of lightness.
  expect(Math.max(...lengths) / Math.min(...lengths)).toBeLessThan(1.25);
  for (const rise of lightness) expect(rise).toBeCloseTo(0.81 / steps, 2);
  expect(colourOf(-1)).toEqual(colourOf(0));
  expect(colourOf(2)).toEqual(colourOf(1));
});

/** OKLab of sRGB bytes, by the matrices of its author. */
function okLab(rgb: readonly number[]): number[] {
  const [r, g, b] = rgb.map((byte) => {
    const value = byte / 255;
    return value <= 0.04045 ? value / 12.92 : ((value + 0.055) / 1.055) ** 2.4;
  }) as [number, number, number];
  const l = Math.cbrt(0.4122214708 * r + 0.5363325363 * g + 0.0514459929 * b);
  const m = Math.cbrt(0.2119034982 * r + 0.6806995451 * g + 0.1073969566 * b);
  const s = Math.cbrt(0.0883024619 * r + 0.2817188376 * g + 0.6299787005 * b);
  return [
    0.2104542553 * l + 0.793617785 * m - 0.0040720468 * s,
    1.9779984951 * l - 2.428592205 * m + 0.4505937099 * s,
    0.0259040371 * l + 0.7827717662 * m - 0.808675766 * s,
  ];
}

describe('eam fidelity --picture refuses before it trains', () => {
  it.each([
    {
      problem: 'three',
      file: 'picture.svg',
      says: /--picture: expected a problem of 2 dimensions, such as separated, .*, got 3 dimensions: name another/,
    },
    {
      problem: 'eight',
      file: 'picture.svg',
      says: /got 8 dimensions: name another --problem, or leave --picture out/,
    },
    { problem: 'separated', file: 'picture.png', says: /--picture: expected a path that ends in \.svg, got "?.*\.png/ },
    { problem: 'separated', file: 'folder.svg', says: /is a directory, and a file is to be written there/ },
    { problem: 'separated', file: 'picture.svg', flags: ['--algorithm', 'am', '--modes'], says: /--modes: .*leave it/ },
  ])('$problem into $file', async ({ problem, file, flags = [], says }) => {
    const folder = temporaryFolder();
    mkdirSync(join(folder, 'folder.svg'));
    const path = join(folder, file);
    const { code, stdout, stderr } = await eam('fidelity', '--problem', problem, '--picture', path, ...flags);
    expect([code, stdout, stderr]).toEqual([2, '', expect.stringMatching(says)]);
    expect(stderr).not.toContain('seed');
    expect(existsSync(join(folder, 'picture.svg'))).toBe(false);
  });
});

describe('eam fidelity --picture', () => {
  const small = ['--steps', '2', '--batch', '16', '--set', 'sampling.count=400', '--set', 'sampling.curveCount=50'];

  it('draws every contender beside the exact target, on one scale, and prints what was asked for', async () => {
    const path = join(temporaryFolder(), 'new', 'picture.svg');
    const args = ['--problem', 'overlapping', '--modes', '--seeds', '3,4', '--picture', path, ...small];
    const { code, stdout, stderr } = await eam('fidelity', ...args);
    expect([code, stderr]).toEqual([0, expect.stringContaining(`picture: ${path}`)]);
    const result = JSON.parse(stdout) as FidelityResult;
    expect(result.settings.algorithm).toMatchObject({ name: 'eam', modes: { gain: 8 } });
    expect(result.runs.map(({ seed }) => seed)).toEqual([3, 4]);

    const svg = readFileSync(path, 'utf8');
    const titles = [...svg.matchAll(/class="title"[^>]*>([^<]*)</g)].map((match) => match[1]);
    const learned = ['EAM', 'EAM with modes', 'Adjoint Matching'];
    expect(titles).toEqual(['Pretrained', 'Exact target', 'Same network, exact samples', ...learned]);
    const images = [...svg.matchAll(/href="data:image\/png;base64,([^"]*)"/g)].map((match) =>
      decode(Buffer.from(match[1]!, 'base64')),
    );
    // Six panels, and the scale.
    expect(images.map(({ width, height }) => [width, height])).toEqual([
      ...Array.from({ length: 6 }, () => [240, 240]),
      [256, 1],
    ]);
    const problem = await readProblem('overlapping');
    const target = tiltedMixture(problem);
    const view = viewOf([tiltedMixture(problem, 0), target], 240);
    const exact = exactDensity(target, view);
    const brightest = Math.max(...exact);
    const pixel = (image: number, index: number) => Array.from(images[image]!.data.slice(3 * index, 3 * index + 3));
    for (const index of [0, exact.indexOf(brightest), 100 * 240 + 120])
      expect(pixel(1, index)).toEqual(colourOf(Math.sqrt(exact[index]! / brightest)));
    expect(pixel(6, 255)).toEqual(colourOf(1));
    // The first seed's weights are printed under its panel, the exact ones are marked in all.
    const printed = (weight: number) => `>${weight.toFixed(weight < 0.1 ? 3 : 2)}</text>`;
    for (const weight of [...result.runs[0]!.modeWeights, ...result.exact.modeWeights])
      expect(svg).toContain(printed(weight));
    expect(svg.match(/class="exact"/g)).toHaveLength(6 * 4);
    expect(svg).toContain(`E[r] ${result.runs[0]!.reward.toFixed(2).replace('-', '−')}, total variation`);
  });

  it('leaves the oracle out where that is not trained', async () => {
    const path = join(temporaryFolder(), 'picture.svg');
    const args = ['--problem', 'separated', '--algorithm', 'am', '--no-oracle', '--picture', path, '--quiet', ...small];
    const { code, stdout } = await eam('fidelity', ...args);
    expect(code).toBe(0);
    expect((JSON.parse(stdout) as FidelityResult).settings.algorithm).toMatchObject({ name: 'am' });
    const svg = readFileSync(path, 'utf8');
    expect(svg.match(/class="title"/g)).toHaveLength(5);
    expect(svg).not.toContain('Same network');
  });
});
