import { readFile, stat } from 'node:fs/promises';
import { dirname, relative, sep } from 'node:path';

import { pngAddress } from '../../files/png/address.js';
import { member, type RunView } from './run-view.js';

export type Grid = RunView['grids'][number];

/** Says what an `img` shows a grid from: a `data:` address or another one; undefined where there is no such file. */
export type GridSource = (grid: Grid) => Promise<string | undefined>;

/** The bytes of PNGs that a page holds itself. */
const roomForGrids = 32 * 2 ** 20;

/**
 * Puts the grids of some runs into the page itself, as far as there is room. Of more than that, each run's first and
 * last are in it, and as many between them, evenly, as there is room for; the others are named where they are.
 * @param page the page's path, from whose folder files beside it are named
 */
export async function gridsWithin(
  views: readonly RunView[],
  page: string,
  room: number = roomForGrids,
): Promise<GridSource> {
  const sizes = new Map<string, number>();
  for (const { path } of views.flatMap(({ grids }) => grids)) {
    const size = await stat(path).then(
      (file) => file.size,
      () => 0,
    );
    sizes.set(path, size);
  }
  const within = new Set(held(views, sizes, room));
  return async ({ path }) => {
    if (!within.has(path)) return addressOf(relative(dirname(page), path));
    const png = await readFile(path).catch(() => undefined);
    return png && pngAddress(png);
  };
}

/**
 * The paths of every grid, or of every second one, every fourth one, and so on, until there is room for all of these.
 */
function held(views: readonly RunView[], sizes: ReadonlyMap<string, number>, room: number): string[] {
  const most = Math.max(1, ...views.map(({ grids }) => grids.length));
  for (let stride = 1; ; stride *= 2) {
    const paths = views.flatMap(({ grids }) =>
      grids.filter((_, index) => index === 0 || (grids.length - 1 - index) % stride === 0).map(({ path }) => path),
    );
    const bytes = paths.reduce((sum, path) => sum + sizes.get(path)!, 0);
    if (bytes <= room || stride > most) return paths;
  }
}

/** A path as a page names it. */
const addressOf = (path: string): string => path.split(sep).map(encodeURIComponent).join('/');

/**
 * The settings in which the runs' grids differ: where there are none, image by image they start
 * from the same noise, show the same prompts and are drawn alike.
 */
export function drawnApart(views: readonly RunView[]): string[] {
  return drawing.filter((key) => new Set(views.map(({ config }) => JSON.stringify(settingAt(config, key)))).size > 1);
}

const drawing = [
  'model',
  'samples.seed',
  'samples.count',
  'samples.columns',
  'samples.solver',
  'samples.steps',
  'samples.guidance',
  'prompts',
  'negativePrompt',
  'image',
];

const settingAt = (config: unknown, key: string): unknown => member(config, ...key.split('.'));

/** Whether one grid of the pretrained model stands for all: every run has the same one, byte by byte. */
export async function haveOnePretrained(views: readonly RunView[]): Promise<boolean> {
  const [first, ...others] = await Promise.all(
    views.map(async ({ grids: [grid] }) => grid?.step === 0 && (await readFile(grid.path).catch(() => false as const))),
  );
  return first instanceof Buffer && others.every((other) => other instanceof Buffer && other.equals(first));
}
