import { encode } from 'fast-png';

import { pngAddress } from '../../../files/png/address.js';
import { escapeHtml } from '../../report/page.js';
import { colourOf } from './colours.js';
import type { Density, View } from './density.js';

/** One density, and what is printed below it. */
export interface Panel {
  title: string;
  density: Density;
  modeWeights: readonly number[];
  /** Such as E[r]; a line. */
  note: string;
}

export interface Picture {
  title: string;
  panels: readonly Panel[];
  view: View;
  /** The exact weights, marked in every panel's bars. */
  exactWeights: readonly number[];
  /** Where each mode's number stands, in the problem's coordinates. */
  labels: readonly (readonly [x: number, y: number])[];
  /** The density at the brightest colour: the same in all panels. */
  brightest: number;
}

/** Sizes in pixels. */
const size = { panel: 264, gap: 30, margin: 28, head: 26, bars: 46, foot: 122, scale: 58, columns: 3 };

const style = `
    text { font: 13px system-ui, -apple-system, "Segoe UI", Roboto, "Helvetica Neue", Arial, sans-serif;
           fill: #1c2330; }
    .title { font-size: 15px; font-weight: 600; }
    .soft { fill: #5b6472; font-size: 12px; }
    .number { font-size: 12px; fill: #ffffff; opacity: 0.75; text-anchor: middle; }
    .middle { text-anchor: middle; }
    .end { text-anchor: end; }
    .ground { fill: #ffffff; }
    .bar { fill: #c4435f; }
    .exact { stroke: #1c2330; stroke-width: 2; }
    .axis { stroke: #c9ced6; }
    @media (prefers-color-scheme: dark) {
      text { fill: #e8ebf0; }
      .soft { fill: #a3acba; }
      .number { fill: #ffffff; }
      .ground { fill: #14171c; }
      .bar { fill: #e0647c; }
      .exact { stroke: #e8ebf0; }
      .axis { stroke: #3a414c; }
    }`;

/** Panels side by side, as an SVG that stands alone: the densities are PNGs within it. */
export function drawPicture(picture: Picture): string {
  const { panels, title } = picture;
  // Seven are four and three.
  const columns = Math.min(panels.length > 6 ? size.columns + 1 : size.columns, panels.length);
  const rows = Math.ceil(panels.length / columns);
  const step = { x: size.panel + size.gap, y: size.head + size.panel + size.foot };
  const width = 2 * size.margin + columns * step.x - size.gap;
  const height = size.margin + rows * step.y + size.scale;
  const drawn = panels.map((panel, index) => {
    const x = size.margin + (index % columns) * step.x;
    const y = size.margin + Math.floor(index / columns) * step.y;
    return `<g transform="translate(${x} ${y})">${drawPanel(panel, picture)}</g>`;
  });
  return [
    `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 ${width} ${height}" width="${width}" height="${height}" ` +
      'role="img" aria-labelledby="title">',
    `<title id="title">${escapeHtml(title)}</title>`,
    `<style>${style}\n  </style>`,
    `<rect class="ground" width="${width}" height="${height}" />`,
    ...drawn,
    `<g transform="translate(${size.margin} ${height - size.scale + 6})">${drawScale(picture)}</g>`,
    '</svg>\n',
  ].join('\n');
}

function drawPanel(panel: Panel, { view, brightest, exactWeights, labels }: Picture): string {
  const { panel: side, head } = size;
  const scale = side / view.side;
  const place = ([x, y]: readonly [number, number]) =>
    `x="${fixed(scale * (x - view.left))}" y="${fixed(head + side - scale * (y - view.bottom))}"`;
  return [
    `<text class="title" y="${head - 10}">${escapeHtml(panel.title)}</text>`,
    `<image y="${head}" width="${side}" height="${side}" href="${heatMap(panel.density, view.pixels, brightest)}" />`,
    ...labels.map((label, mode) => `<text class="number" ${place(label)} dy="4">${mode + 1}</text>`),
    `<g transform="translate(0 ${head + side + 10})">${drawBars(panel.modeWeights, exactWeights)}</g>`,
    `<text class="soft" y="${head + side + size.bars + 44}">${escapeHtml(panel.note)}</text>`,
  ].join('\n');
}

/** A bar a mode, with its weight below it and a mark at the exact one. */
function drawBars(weights: readonly number[], exact: readonly number[]): string {
  const slot = size.panel / weights.length;
  const tall = (weight: number) => size.bars * Math.min(1, weight / Math.max(...exact, 0.5));
  // Four characters and a little space.
  const isLabelled = slot >= 30;
  const bars = weights.map((weight, mode) => {
    const x = slot * mode;
    const mark = size.bars - tall(exact[mode]!);
    const [from, to] = [x + 0.2 * slot, x + 0.8 * slot];
    return [
      `<rect class="bar" x="${fixed(from)}" y="${fixed(size.bars - tall(weight))}" width="${fixed(to - from)}" ` +
        `height="${fixed(tall(weight))}" />`,
      `<line class="exact" x1="${fixed(from - 4)}" x2="${fixed(to + 4)}" y1="${fixed(mark)}" y2="${fixed(mark)}" />`,
      isLabelled
        ? `<text class="soft middle" x="${fixed(x + slot / 2)}" y="${size.bars + 15}">` +
          `${weight.toFixed(weight < 0.1 ? 3 : 2)}</text>`
        : '',
    ].join('');
  });
  return `<line class="axis" x2="${size.panel}" y1="${size.bars}" y2="${size.bars}" />${bars.join('\n')}`;
}

/** The colours of densities, and what the bars are. */
function drawScale({ brightest }: Picture): string {
  const [long, thick] = [size.panel, 12];
  const ramp = new Float64Array(256).map((_, i) => brightest * (i / 255) ** 2);
  const ticks = [0, 0.25, 0.5, 0.75, 1].map((u) => {
    const value = (brightest * u ** 2).toPrecision(2);
    const anchor = u === 0 ? '' : u === 1 ? ' end' : ' middle';
    return `<text class="soft${anchor}" x="${fixed(long * u)}" y="${thick + 16}">${Number(value)}</text>`;
  });
  return [
    `<image width="${long}" height="${thick}" preserveAspectRatio="none" href="${heatMap(ramp, 256, brightest)}" />`,
    ...ticks,
    `<text class="soft" x="${long + size.gap}" y="10">density, the same colours in every panel</text>`,
    `<text class="soft" x="${long + size.gap}" y="${thick + 16}">bars: weights of the numbered modes; lines: the ` +
      'exact ones</text>',
  ].join('\n');
}

/** A PNG, as a data URI, whose colours are even in the square root of the density: weak modes stay visible. */
function heatMap(density: Density, columns: number, brightest: number): string {
  const data = new Uint8Array(3 * density.length);
  for (const [index, value] of density.entries()) data.set(colourOf(Math.sqrt(value / brightest)), 3 * index);
  const png = encode({ width: columns, height: density.length / columns, channels: 3, depth: 8, data });
  return pngAddress(png);
}

const fixed = (value: number): string => String(Number(value.toFixed(2)));
