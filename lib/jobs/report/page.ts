import { readFile } from 'node:fs/promises';
import { createRequire } from 'node:module';
import { dirname, join } from 'node:path';

import { pngAddress } from '../../files/png/address.js';
import { packageDirectory, packageVersion } from '../../runtime/package.js';
import type { Table } from '../text-table.js';

export interface Page {
  title: string;
  /** HTML, see {@link pageHeader}. */
  header: string;
  /** HTML, in order; empty ones are left out. */
  sections: readonly string[];
  /** HTML, see {@link pageFooter}. */
  footer: string;
  /** The data that the page's scripts draw from. */
  data: object;
  /** The scripts' file names in assets/report, in order. */
  scripts: readonly string[];
  /** Further styles in assets/report, in order. */
  styles?: readonly string[];
  /** A policy of contents that a server sends knows the scripts by it. */
  nonce?: string;
}

/** One HTML file that holds everything it shows: charts, styles and pictures included. */
export async function renderPage(page: Page): Promise<string> {
  const uplot = dirname(createRequire(import.meta.url).resolve('uplot/package.json'));
  const asset = (name: string) => readFile(join(packageDirectory, 'assets', 'report', name), 'utf8');
  const [chartStyle, chartScript, styles, scripts] = await Promise.all([
    readFile(join(uplot, 'dist', 'uPlot.min.css'), 'utf8'),
    readFile(join(uplot, 'dist', 'uPlot.iife.min.js'), 'utf8'),
    Promise.all(['report.css', ...(page.styles ?? [])].map(asset)),
    Promise.all(page.scripts.map(asset)),
  ]);
  const { title, header, sections, footer, data, nonce } = page;
  const open = nonce === undefined ? '<script>' : `<script nonce="${nonce}">`;
  const main = [`<header>${header}</header>`, ...sections, `<footer>${footer}</footer>`];
  return wholePage(
    `${title} · eam-torch`,
    [chartStyle, ...styles],
    main,
    `<script type="application/json" id="metrics">${embed(data)}</script>
${open}${chartScript}</script>
${scripts.map((script) => `${open}\n${script}</script>`).join('\n')}`,
  );
}

/** A page of these styles. @param main the parts of its main element, in HTML; empty ones are left out */
export function wholePage(title: string, styles: readonly string[], main: readonly string[], scripts = ''): string {
  return `<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="color-scheme" content="light dark">
<meta name="generator" content="eam-torch ${escapeHtml(packageVersion)}">
<title>${escapeHtml(title)}</title>
<style>
${styles.join('\n')}
</style>
</head>
<body>
<main>
${main.filter(Boolean).join('\n')}
</main>
${scripts}
</body>
</html>
`;
}

/** The head of a page: its title, with a line above and a line below it. */
export const pageHeader = (kicker: string, title: string, subtitle: string): string => `
<p class="kicker">${escapeHtml(kicker)}</p>
<h1>${escapeHtml(title)}</h1>
<p class="subtitle">${escapeHtml(subtitle)}</p>
`;

/** Says when the things that a page shows were done, and with which versions. @param did such as `Finished` */
export function pageFooter(did: string, time: Date, versions: Readonly<Record<string, string>>): string {
  const names = Object.entries(versions).map(([name, version]) => `${name} ${version}`);
  return `<p>${escapeHtml(did)} ${[timeElement(time), ...names.map(escapeHtml)].join(' · ')}</p>`;
}

export interface Tile {
  value: string;
  label: string;
  note: string;
}

/** The results at a glance. */
export function tileList(tiles: readonly Tile[]): string {
  if (tiles.length === 0) return '';
  const cells = tiles.map(
    ({ value, label, note }) =>
      `<li><strong>${escapeHtml(value)}</strong><span>${escapeHtml(label)}</span>` +
      `<small>${escapeHtml(note)}</small></li>`,
  );
  return `<ul class="tiles" aria-label="Results at a glance">${cells.join('\n')}</ul>`;
}

/** A section with charts, drawn by the page's script, and the choice of what to draw them against. */
export function chartSection(
  id: string,
  title: string,
  axes: Readonly<Record<string, string>>,
  introduction = '',
): string {
  const choices = Object.entries(axes).map(
    ([axis, name], index) =>
      `<label><input type="radio" name="axis" value="${axis}"${index ? '' : ' checked'}>` +
      `<span>${escapeHtml(name)}</span></label>`,
  );
  return `<section aria-labelledby="${id}">
<div class="heading">
<h2 id="${id}">${escapeHtml(title)}</h2>
<fieldset class="axis" hidden>
<legend>Draw against</legend>
${choices.join('\n')}
</fieldset>
</div>
${introduction}
<div id="charts" class="charts"></div>
<noscript><p>The charts need JavaScript; their figures are in the files beside this one.</p></noscript>
</section>`;
}

/**
 * A table whose first column names the row. The last column of a table of changes stands out, that of notes may wrap,
 * and cells of lines may have several.
 */
export function htmlTable({ head, rows }: Table, kind?: 'change' | 'notes' | 'lines'): string {
  const headCells = head.map((cell) => (cell ? `<th scope="col">${escapeHtml(cell)}</th>` : '<td></td>')).join('');
  const bodyRows = rows.map(
    ([name, ...cells]) =>
      `<tr><th scope="row">${escapeHtml(name!)}</th>` +
      `${cells.map((cell) => `<td>${escapeHtml(cell)}</td>`).join('')}</tr>`,
  );
  return `<div class="${kind ? `scroll ${kind}` : 'scroll'}"><table>
<thead><tr>${headCells}</tr></thead>
<tbody>
${bodyRows.join('\n')}
</tbody>
</table></div>`;
}

/** A picture in the file itself. `caption` is HTML. */
export function pngFigure(png: Uint8Array, alternative: string, caption: string): string {
  return `<figure>
<img src="${pngAddress(png)}" alt="${escapeHtml(alternative)}">
<figcaption>${caption}</figcaption>
</figure>`;
}

/** `, prompts “0” “1” … in turn`. */
export function promptList(prompts: readonly string[]): string {
  const shown = prompts
    .slice(0, 12)
    .map((prompt) => `“${prompt}”`)
    .join(' ');
  return prompts.length ? `, prompts ${shown}${prompts.length > 12 ? ' …' : ''} in turn` : '';
}

/** The configurations of a page, each with what is to be clicked on to see it. */
export function configurationSection(configs: readonly { config: unknown; summary?: string | undefined }[]): string {
  const whole = 'Everything this was started with, defaults filled in';
  const details = configs.map(
    ({ config, summary = whole }) => `<details>
<summary>${escapeHtml(summary)}</summary>
<pre><code>${escapeHtml(JSON.stringify(config, abridged, 2))}</code></pre>
</details>`,
  );
  return `<section aria-labelledby="configuration">
<h2 id="configuration">Configuration</h2>
${details.join('\n')}
</section>`;
}

/** Prompts may be thousands, and config.json has them all. */
function abridged(_key: string, value: unknown): unknown {
  const limit = 100;
  return Array.isArray(value) && value.length > limit
    ? [...(value as unknown[]).slice(0, limit), `… and ${value.length - limit} more`]
    : value;
}

/** A number of a chart: six digits are more than it can show, and JSON has no NaN. */
export const finite = (value: unknown): number | null =>
  typeof value === 'number' && Number.isFinite(value) ? Number(value.toPrecision(6)) : null;

export const compact = (value: number): string =>
  new Intl.NumberFormat('en', { notation: 'compact', maximumSignificantDigits: 3 }).format(value);

function timeElement(time: Date): string {
  const iso = time.toISOString();
  return `<time datetime="${iso}">${iso.slice(0, 16).replace('T', ' ')} UTC</time>`;
}

export const escapeHtml = (text: string): string =>
  text.replace(/[&<>"']/g, (character) => `&#${character.charCodeAt(0)};`);

/** JSON inside a script element must not close it. */
const embed = (value: unknown): string => JSON.stringify(value).replaceAll('<', '\\u003c');
