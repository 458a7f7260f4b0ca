import { isDeepStrictEqual } from 'node:util';

import { formatTable } from '../evaluate/table/format.js';
import { fixed, known } from '../figures.js';
import { alignedLines, csvCell, latexRows, markdownTable, type Table } from '../text-table.js';
import { bytesText, gigabytes, megabytes } from '../text.js';
import type { Figure, ReproducedRow, Watched } from './figures.js';
import type { Needs } from './needs.js';
import type { Recipe, RecipeSetting } from './recipe.js';
import type { Deviation, Reproduction } from './reproduction.js';
import { publishedValue, valueText, type HeldSettings } from './settings.js';

const size = (bytes: number): string => (bytes < 1e9 ? megabytes : gigabytes)(bytes);

/** What a recipe needs, as a person reads it before hours of work. */
export function needsText(recipe: Recipe, needs: Needs, seeds: number): string {
  const { files, memory, device, cards, disk, images } = needs;
  const missing = files.filter(({ state }) => state === 'missing');
  const hours = (value: number) => Number(value.toPrecision(2)).toString();
  return [
    recipe.title,
    `source: ${recipe.source}`,
    '',
    'Files',
    ...files.map(({ what, place, bytes, state }) =>
      [
        `  ${what}: ${state}`,
        ...(bytes === undefined ? [] : [`${state === 'missing' ? 'about ' : ''}${size(bytes)}`]),
        ...(state === 'there' ? [place] : []),
      ].join(', '),
    ),
    ...(missing.length ? ['', 'To get what is missing:', ...missing.map(({ command }) => `  ${command}`)] : []),
    '',
    `Work: ${seeds} ${seeds === 1 ? 'training' : 'trainings'}, ${images.training} images in all; ` +
      `${images.evaluation} images of the evaluation`,
    memory
      ? `Memory on ${device}: ${bytesText(memory.training)} while ${memory.peak}, ${bytesText(memory.evaluation)} in ` +
        'the evaluation, with all rewards'
      : `Memory on ${device}: not planned for this model`,
    ...(cards.length
      ? [
          "Hours by card, without the rewards' networks, encoding and loading",
          indented({
            head: ['', 'training', 'evaluation', ''],
            rows: cards.map((card) => [
              card.name,
              hours(card.training),
              hours(card.evaluation),
              card.fits ? (card.measured ? 'measured' : 'estimate') : 'too little memory',
            ]),
          }),
        ]
      : ['Hours are known of GPUs alone']),
    ...(disk.length ? ['Disk', ...disk.map((use) => `  ${use.name}: ${bytesText(use.bytes)} in ${use.folder}`)] : []),
  ].join('\n');
}

const aligned = ({ head, rows }: Table): string => alignedLines([head, ...rows]).join('\n');

const indented = (table: Table): string =>
  aligned(table)
    .split('\n')
    .filter((line) => line.trim() !== '')
    .map((line) => `  ${line}`)
    .join('\n');

/** Every setting as it holds, with who gives it, for a terminal. */
export function settingsText({ settings }: Recipe, held: HeldSettings): string {
  const line = (setting: RecipeSetting) => {
    const { published, reason } = saidOf(setting);
    const isKept = isDeepStrictEqual(held.value(setting.set), publishedValue(setting));
    const instead = published === undefined || isKept ? '' : `; published: ${valueText(published)}`;
    return `  ${setting.set} ${valueText(held.value(setting.set))} (${reason}${instead})`;
  };
  const given = settings.filter(({ source }) => source !== undefined);
  const ours = settings.filter(({ source }) => source === undefined);
  return [
    'Settings that the protocol gives, and where',
    ...given.map(line),
    'Settings that are ours, and why',
    ...ours.map(line),
  ].join('\n');
}

/** Writes each setting of a recipe beside the published one, with who gives it, as a table in Markdown. */
export const settingsTable = ({ settings }: Pick<Recipe, 'settings'>): string =>
  markdownTable({
    head: ['setting', 'value', 'published', 'source, or why it is ours'],
    rows: settings.map((setting) => {
      const { published, reason } = saidOf(setting);
      const isOurs = setting.source === undefined;
      const theirs = isOurs ? (published === undefined ? 'not given' : valueText(published)) : 'the same';
      return [setting.set, valueText(setting.value), theirs, `${isOurs ? 'ours: ' : ''}${reason}`];
    }),
  });

const saidOf = (setting: RecipeSetting) => ({
  published: publishedValue(setting),
  reason: setting.source ?? setting.ours!,
});

/** The rows beside the published ones. @param form Markdown, rows for a tabular of LaTeX, CSV, or text */
export function rowsText(reproduction: Reproduction, form: 'text' | 'markdown' | 'latex' | 'csv'): string {
  if (form === 'csv') return csv(reproduction);
  const write = { text: aligned, markdown: markdownTable, latex: latexRows }[form];
  return write(cellsOf(reproduction));
}

const watchedTitles = { diversity: 'diversity', promptDiversity: 'within a prompt', drift: 'drift' } as const;
const watchedKeys = Object.keys(watchedTitles) as (keyof typeof watchedTitles)[];

function cellsOf({ rewards, rows }: Reproduction): Table {
  return {
    head: ['', ...rewards.map(({ title }) => title), ...Object.values(watchedTitles), 'alarms'],
    rows: rows.map((row) => [
      row.kind === 'published' ? `${row.name} (published)` : row.name,
      ...rewards.map(({ name }) => figureText(row.rewards[name], 4)),
      ...watchedKeys.map((key) => figureText(row.watched?.[key], 3)),
      alarmsText(row.watched),
    ]),
  };
}

const alarmsText = (watched: Watched | undefined): string => (watched ? watched.alarms.join(' ') || 'none' : '–');

const figureText = (figure: Figure | undefined, decimals: number): string => {
  const mean = known(figure?.mean, (value) => fixed(value, decimals));
  if (!figure?.interval) return mean;
  const [low, high] = figure.interval;
  return `${mean} ± ${fixed((high - low) / 2, decimals)}`;
};

function csv({ rewards, rows }: Reproduction): string {
  const line = (row: ReproducedRow, measure: string, figure: Figure | undefined) =>
    [row.name, row.kind, measure, figure?.mean, figure?.interval?.[0], figure?.interval?.[1]].map(csvCell).join(',');
  const lines = rows.flatMap((row) => [
    ...rewards.flatMap(({ name }) => (row.rewards[name] ? [line(row, name, row.rewards[name])] : [])),
    ...watchedKeys.flatMap((key) => (row.watched ? [line(row, key, row.watched[key])] : [])),
  ]);
  return ['row,kind,measure,mean,low,high', ...lines].join('\n');
}

/** What the figures are, and how far they can be put beside the published ones; a sentence a line. */
function remarksOf({ published, rows, seeds, evaluation, deviations, table }: Reproduction): string[] {
  const binding = deviations.filter((each) => each.binding);
  const several = seeds.length > 1;
  const rough = seeds.length === 2 ? '; of two it is very wide' : '';
  return [
    `published rows: ${published}`,
    `here: ${table.count} images a model of ${table.prompts} prompts, solver ${evaluation.solver}, steps ` +
      `${evaluation.steps}, guidance ${evaluation.guidance}; trained with the seeds ${seeds.join(', ')}`,
    several
      ? `±: how far the 95 % interval of the mean over ${seeds.length} trainings reaches, by Student's t${rough}`
      : 'of one seed there is no interval: --seeds 3 trains three',
    "diversity: times the pretrained model's, of the panel's images after training; drift: ‖v − v_pre‖ / ‖v_pre‖",
    ...(rows.some(({ kind }) => kind === 'published')
      ? [
          binding.length
            ? `NOT COMPARABLE with the published rows: ${binding.map(({ what }) => what).join(', ')} differ`
            : 'comparable with the published rows in all that the protocol gives',
        ]
      : []),
  ];
}

/** What differs from the protocol. */
const deviationsTable = (deviations: readonly Deviation[], write: (table: Table) => string): string =>
  write({
    head: ['differs', 'here', 'published', 'comparable'],
    rows: deviations.map(({ what, here, published, binding }) => [what, here, published, binding ? 'no' : 'yes']),
  });

/** All that `eam reproduce` prints at its end. */
export const reproductionText = (reproduction: Reproduction): string =>
  [
    rowsText(reproduction, 'text'),
    '',
    ...remarksOf(reproduction),
    ...(reproduction.deviations.length ? ['', deviationsTable(reproduction.deviations, aligned)] : []),
  ].join('\n');

/** Writes a reproduction as a page of Markdown, with every setting and who gives it. */
export const reproductionPage = (reproduction: Reproduction, recipe: Recipe): string =>
  [
    `# ${reproduction.title}`,
    rowsText(reproduction, 'markdown'),
    ...remarksOf(reproduction).map((line) => `- ${line}`),
    '## Each training against the pretrained model, from the same noise',
    formatTable(reproduction.table, 'markdown'),
    '## What differs from the protocol',
    reproduction.deviations.length ? deviationsTable(reproduction.deviations, markdownTable) : 'Nothing.',
    '## Settings of the recipe',
    settingsTable(recipe),
  ].join('\n\n');
