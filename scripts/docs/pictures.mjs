// What the scripts that draw the pictures of docs/ share: runs that are kept, PNGs, and tables in the documents.

import { spawnSync } from 'node:child_process';
import { existsSync, mkdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';

import { decode, encode } from 'fast-png';

export const root = join(import.meta.dirname, '..', '..');

/** The package as it is compiled; the path is no literal, so that types are checked where nothing is compiled. */
export const loadPackage = () => import(['..', '..', 'dist', 'index.js'].join('/'));

export const readJson = (...path) => JSON.parse(readFileSync(join(...path), 'utf8'));
export const readMetrics = (folder) => readJsonLines(join(folder, 'metrics.jsonl'));
const readJsonLines = (path) =>
  readFileSync(path, 'utf8')
    .trim()
    .split('\n')
    .map((line) => JSON.parse(line));

/** The folder of a run, which `run(folder)` makes anew unless it is there and whole, with `result` in it. */
export async function keptRun(name, result, run) {
  const folder = join(root, 'runs', 'pictures', name);
  if (existsSync(join(folder, result))) {
    console.log(`${folder}: kept; remove it to run it again`);
    return folder;
  }
  console.log(`${folder}: running`);
  rmSync(folder, { recursive: true, force: true });
  await run(folder);
  return folder;
}

export const readPicture = (...path) => decode(readFileSync(join(...path)));

/** A picture whose pixels are squares of `scale` pixels. */
export function enlarged({ data, channels, width, height }, scale) {
  const pixels = new Uint8Array(width * height * scale * scale * channels);
  for (let row = 0; row < height * scale; ++row) {
    for (let column = 0; column < width * scale; ++column) {
      const from = (Math.floor(row / scale) * width + Math.floor(column / scale)) * channels;
      pixels.set(data.subarray(from, from + channels), (row * width * scale + column) * channels);
    }
  }
  return { data: pixels, channels, width: width * scale, height: height * scale };
}

/** Two pictures of the same size beside each other, with white between them. */
export function sideBySide(left, right, gap = 32) {
  const { channels, height } = left;
  const width = left.width + gap + right.width;
  const data = new Uint8Array(width * height * channels).fill(255);
  for (const [picture, x] of [
    [left, 0],
    [right, left.width + gap],
  ]) {
    const row = picture.width * channels;
    for (let y = 0; y < height; ++y)
      data.set(picture.data.subarray(y * row, (y + 1) * row), (y * width + x) * channels);
  }
  return { data, channels, width, height };
}

/** Writes a picture into docs/images; one of 60 kB and more is refused. */
export function writePicture(path, picture) {
  const file = join(root, 'docs', 'images', path);
  const png = encode(picture);
  if (png.length >= 60_000) throw new Error(`${file}: expected a picture below 60 kB, got ${png.length} bytes`);
  mkdirSync(dirname(file), { recursive: true });
  writeFileSync(file, png);
}

/** Replaces what a document has between `<!-- name: … -->` and `<!-- end -->` by lines, as Biome formats them. */
export function writeFigures(document, figures) {
  const path = join(root, 'docs', document);
  let text = readFileSync(path, 'utf8');
  for (const [name, lines] of Object.entries(figures)) {
    const place = new RegExp(`(<!-- ${name}: [^>]*-->\n)[^]*?(<!-- end -->)`);
    if (!place.test(text)) throw new Error(`${path}: expected a comment "${name}: …" and then "end", got none`);
    text = text.replace(place, (_, before, after) => `${before}\n${lines.join('\n')}\n\n${after}`);
  }
  writeFileSync(path, text);
  const biome = join(root, 'node_modules', '@biomejs', 'biome', 'bin', 'biome');
  spawnSync(process.execPath, [biome, 'format', '--write', path], { cwd: root, stdio: 'inherit' });
}

/** A Markdown table's lines, from arrays of cells. */
export const table = (head, ...rows) =>
  [head, head.map(() => '---'), ...rows].map((cells) => `| ${cells.join(' | ')} |`);

export const percent = (share) => `${(100 * share).toFixed(1)}\u00a0%`;
/** A number with its sign, and a minus that is as wide as the plus. */
export const signed = (value, digits = 2) => `${value < 0 ? '−' : '+'}${Math.abs(value).toFixed(digits)}`;
/** What a run computed: forwards, vector-Jacobian products and backwards of one sample each. */
export const evaluations = (metrics) => {
  const { forwards, vjps, backwards } = metrics.at(-1).total;
  return String(forwards + vjps + backwards).replace(/\B(?=(\d{3})+$)/g, ' ');
};

/** The first alarm of a run's panel, in words. */
export function firstAlarm(metrics) {
  const alarmed = metrics.find(({ panel }) => panel?.alarms.length > 0);
  return alarmed ? `step ${alarmed.step}: ${alarmed.panel.alarms.map((name) => `\`${name}\``).join(', ')}` : 'none';
}
