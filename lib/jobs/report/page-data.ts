import { nameOfModel, typeOfModel } from '../../models/kinds.js';
import type { ModelSource } from '../../models/registry.js';
import { axesOf, chartsOf, type Axes, type Chart } from './charts.js';
import { panelCharts } from './panel-charts.js';
import { evaluationNotes, evaluationRows } from './evaluation-table.js';
import { figureTable, progressOf, tilesOf } from './figures.js';
import { drawnApart, haveOnePretrained, type GridSource } from './grids.js';
import { configurationSection, escapeHtml, htmlTable, pageFooter, pageHeader, promptList, tileList } from './page.js';
import { runNames } from './run-names.js';
import type { RunView } from './run-view.js';
import { samplesSection } from './samples-section.js';
import { differenceTexts, settingsDifference } from './settings-difference.js';

/** A run as the page's scripts draw it. */
export interface DrawnRun {
  name: string;
  state: RunView['state'];
  axes: Axes;
  /** A grid's `src` is what an `img` shows it from; null where the page's HTML has that `img`. */
  grids: { step: number; label: string; alt: string; src: string | null }[];
}

/** All that a page of runs shows: assets/report/report.js says what becomes of it. */
export interface PageData {
  title: string;
  runs: DrawnRun[];
  charts: Chart[];
  /** Whether the first run's grid of the pretrained model stands for all runs. */
  onePretrained: boolean;
  /** HTML by the name of its place in the page, `<div data-part="name">`; an empty one is hidden. */
  parts: Readonly<Record<PartName, string>>;
}

export type PartName =
  | 'header'
  | 'figures'
  | 'noise'
  | 'evaluation'
  | 'examples'
  | 'settings'
  | 'configuration'
  | 'footer';

/** All that a page of one run, or of several, shows. */
export async function pageData(views: readonly RunView[], source: GridSource): Promise<PageData> {
  const names = runNames(views);
  const runs = await Promise.all(
    views.map(async ({ state, metrics, grids }, run) => {
      const name = names[run]!;
      const found = await Promise.all(
        grids.map(async (grid) => {
          const src = await source(grid);
          const label = grid.step === 0 ? 'before' : `step ${grid.step}`;
          // A grid may be gone since its folder was listed.
          return src === undefined
            ? []
            : [{ step: grid.step, label, alt: `${name}, ${label}: a grid of samples`, src }];
        }),
      );
      return { name, state, axes: axesOf(metrics), grids: found.flat() };
    }),
  );
  const one = views.length === 1 ? views[0]! : undefined;
  const evaluated = views.flatMap(({ evaluation, directory }, run) =>
    evaluation ? [{ name: names[run]!, directory }] : [],
  );
  return {
    title: titleOf(names),
    runs,
    charts: allCharts(views, names),
    onePretrained: await haveOnePretrained(views),
    parts: {
      ...steppedParts(views, names),
      noise: noise(views),
      evaluation: one ? evaluationSection(one) : '',
      examples: await samplesSection(evaluated),
      settings: one ? '' : settingsSection(views, names),
      configuration: configurationSection(
        views.map(({ config }, run) => ({
          config,
          summary: one ? undefined : names[run]!,
        })),
      ),
    },
  };
}

const titleOf = (names: readonly string[]): string => (names.length > 3 ? `${names.length} runs` : names.join(' · '));

/** The parts of a page that change with every step. */
export function steppedParts(
  views: readonly RunView[],
  names: readonly string[],
): Pick<PageData['parts'], 'header' | 'figures' | 'footer'> {
  return {
    header: header(views, titleOf(names)),
    figures: views.length === 1 ? tileList(tilesOf(views[0]!)) : figureSection(views, names),
    footer: footer(views),
  };
}

/** The charts of what a run measures, and those of what its panel does. */
export const allCharts = (views: readonly RunView[], names: readonly string[]): Chart[] => [
  ...chartsOf(views, names),
  ...panelCharts(views, names),
];

const kickers = { finetune: 'Fine-tuning', distill: 'Distillation', pretrain: 'Pretraining' } as const;

function header(views: readonly RunView[], title: string): string {
  const commands = [...new Set(views.map(({ command }) => kickers[command]))];
  const kicker = `${commands.length > 1 ? 'Runs' : commands[0]!}${views.length > 1 ? ': several runs' : ' report'}`;
  return `${pageHeader(kicker, title, subtitle(views))}${views.length > 1 ? '' : stateLine(views[0]!)}`;
}

function subtitle(views: readonly RunView[]): string {
  const models = new Set(views.map(({ config }) => modelName(config['model'])));
  const algorithms = new Set(
    views.flatMap(({ config }) => (config['algorithm'] as { name?: string } | undefined)?.name?.toUpperCase() ?? []),
  );
  const last = views.length === 1 ? [`${progressOf(views[0]!)} of ${String(views[0]!.config['batch'])} samples`] : [];
  return [`model ${[...models].join(', ')}`, [...algorithms].join(', '), ...last].filter(Boolean).join(' · ');
}

function modelName(model: unknown): string {
  if (typeof model !== 'object' || model === null) return String(model);
  // The model of a pretraining is described by settings, which say of what type it is.
  return (nameOfModel(model as ModelSource) as string | undefined) ?? String(typeOfModel(model));
}

/** Says what became of a run that did not finish, or has not finished yet. */
function stateLine(view: RunView): string {
  const { state, problem, command, directory } = view;
  const why = problem === undefined ? '' : `: ${problem}`;
  const again = state === 'stopped' ? `; to go on: eam ${command} ${directory} --resume` : '';
  const text = {
    running: `Running: ${progressOf(view)} done`,
    stopped: `Stopped after ${progressOf(view)}${why}${again}`,
    failed: `Failed after ${progressOf(view)}${why}`,
    finished: '',
  }[state];
  return text && `<p class="state ${state}" role="status">${escapeHtml(text)}</p>`;
}

function figureSection(views: readonly RunView[], names: readonly string[]): string {
  return `<section aria-labelledby="figures">
<h2 id="figures">Figures</h2>
<p>What each run has in the end, or has so far.</p>
${htmlTable(figureTable(views, names), 'lines')}
</section>`;
}

function noise(views: readonly RunView[]): string {
  const [{ config }] = views as [RunView];
  const prompts = Array.isArray(config['prompts']) ? promptList(config['prompts'].map(String)) : '';
  const apart = drawnApart(views);
  const whose = views.length === 1 ? 'All grids' : 'The grids of all runs';
  const text =
    apart.length === 0
      ? `${whose} start from the same noise, sample by sample${prompts}.`
      : 'The grids of one run start from the same noise. Those of different runs are not drawn alike: ' +
        `${apart.join(', ')} ${apart.length > 1 ? 'differ' : 'differs'}.`;
  return `<p class="noise">${escapeHtml(text)}</p>`;
}

function evaluationSection({ evaluation }: RunView): string {
  if (!evaluation) return '';
  const rows = evaluationRows(evaluation).map(({ name, before, after, change }) => [name, before, after, change]);
  return `<section aria-labelledby="evaluation">
<h2 id="evaluation">Evaluation</h2>
<p>${evaluation.count} fresh samples from seed ${escapeHtml(evaluation.seed)}, the same noise for both models.
${evaluationNotes(evaluation)
  .map((note) => `<br>${escapeHtml(note)}`)
  .join('\n')}</p>
${htmlTable({ head: ['', 'before', 'after', 'change'], rows }, 'change')}
</section>`;
}

function settingsSection(views: readonly RunView[], names: readonly string[]): string {
  const differences = settingsDifference(views.map(({ config }) => config));
  const rows = differences.map((difference) => [difference.key, ...differenceTexts(difference)]);
  return `<section aria-labelledby="settings">
<h2 id="settings">Settings that differ</h2>
${rows.length ? htmlTable({ head: ['', ...names], rows }, 'lines') : '<p>None: the runs have the same settings.</p>'}
</section>`;
}

function footer(views: readonly RunView[]): string {
  const changed = new Date(Math.max(...views.map((view) => view.changed.getTime())));
  const finished = views.every(({ state }) => state === 'finished');
  const [{ versions }] = views as [RunView];
  const same = views.every((view) => JSON.stringify(view.versions) === JSON.stringify(versions));
  return pageFooter(finished ? 'Finished' : 'Last change', changed, same ? versions : {});
}
