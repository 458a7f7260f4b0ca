import { readFile } from 'node:fs/promises';
import { join } from 'node:path';

import type { PanelMetrics } from '../../training/metrics.js';
import type { PanelBaseline } from '../../training/panel/panel.js';
import { meanOfClusters } from '../../training/student.js';
import type { CheckpointTable } from '../evaluate/table/table.js';
import type { TableRow } from '../evaluate/table/figures.js';
import { RunDirectory } from '../run-directory.js';
import type { FoundReward } from './found-rewards.js';
import type { Recipe } from './recipe.js';

/** This is one figure of a row. */
export interface Figure {
  /** The mean; null where there is none. */
  mean: number | null;
  /** Its 95 % interval by Student's t over the seeds, where there are several. */
  interval?: [low: number, high: number] | undefined;
}

/** This is one row of a `Reproduction`. */
export interface ReproducedRow {
  /** A method, the pretrained model, or a seed. */
  name: string;
  /** It says whether others published it, or it was computed here; a seed's row is a part of the row of all. */
  kind: 'published' | 'pretrained' | 'seed' | 'all seeds';
  /** The rewards' means over the images, by name; what others did not publish is left out. */
  rewards: Record<string, Figure>;
  /** What others leave out; of rows that were computed here. */
  watched?: Watched | undefined;
}

/** This is what the panels of runs measured last, on prompts that were trained on. */
export interface Watched {
  /** The diversity of the images, in times the pretrained model's. */
  diversity: Figure;
  /** The diversity of the images of one prompt, likewise. */
  promptDiversity: Figure;
  /** The drift of the velocity, ‖v − v_pre‖ / ‖v_pre‖. */
  drift: Figure;
  /** The measures that were past their limits. */
  alarms: string[];
}

/** The published rows, then what was computed here: the pretrained model, each seed, and all seeds together. */
export async function rowsOf(
  { recipe, rewards, method }: { recipe: Recipe; rewards: readonly FoundReward[]; method: string },
  table: CheckpointTable,
  runs: readonly { seed: number; folder: string }[],
): Promise<ReproducedRow[]> {
  const published = recipe.published.rows.map(({ name, values }): ReproducedRow => {
    const figures = Object.entries(values).map(([reward, mean]) => [reward, { mean }] as const);
    return { name, kind: 'published', rewards: Object.fromEntries(figures) };
  });
  const [base, ...trained] = table.rows as [TableRow, ...TableRow[]];
  const watched = await Promise.all(runs.map(({ folder }) => watchedOf(folder)));
  const one = { mean: 1 };
  const pretrained: ReproducedRow = {
    name: `${recipe.model.title}, here`,
    kind: 'pretrained',
    rewards: meansOf([base], rewards),
    watched: { diversity: one, promptDiversity: one, drift: { mean: 0 }, alarms: [] },
  };
  const seeds = trained.map(
    (row, at): ReproducedRow => ({
      name: `${method}, seed ${runs[at]!.seed}`,
      kind: 'seed',
      rewards: meansOf([row], rewards),
      watched: watched[at],
    }),
  );
  const all: ReproducedRow = {
    name: `${method}, ${seeds.length} seeds`,
    kind: 'all seeds',
    rewards: meansOf(trained, rewards),
    watched: together(watched),
  };
  return [...published, pretrained, ...seeds, ...(seeds.length > 1 ? [all] : [])];
}

const meansOf = (rows: readonly TableRow[], rewards: readonly FoundReward[]): Record<string, Figure> =>
  Object.fromEntries(
    rewards.map(({ name }, at) => [name, figureOf(rows.map((row) => Object.values(row.rewards)[at]!.mean))] as const),
  );

/** The mean over seeds; of several with the interval of Student's t, from their spread. */
function figureOf(values: readonly (number | null | undefined)[]): Figure {
  const known = values.filter((value) => typeof value === 'number');
  if (known.length < values.length) return { mean: null };
  const { mean, interval } = meanOfClusters(known.map((value) => ({ cluster: '', value })));
  return { mean, ...(interval && { interval }) };
}

async function watchedOf(folder: string): Promise<Watched | undefined> {
  const metrics = await RunDirectory.existing(folder).readMetrics<{ step: number; panel?: PanelMetrics }>();
  const last = metrics.filter(({ panel }) => panel).at(-1)?.panel;
  if (!last) return undefined;
  const { baseline } = JSON.parse(await readFile(join(folder, 'panel.json'), 'utf8')) as { baseline: PanelBaseline };
  const times = (measure: 'diversity' | 'promptDiversity') =>
    figureOf([baseline[measure] && last[measure] !== undefined ? last[measure] / baseline[measure].mean : null]);
  return {
    diversity: times('diversity'),
    promptDiversity: times('promptDiversity'),
    drift: figureOf([last.drift]),
    alarms: last.alarms,
  };
}

function together(all: readonly (Watched | undefined)[]): Watched {
  const over = (key: 'diversity' | 'promptDiversity' | 'drift') => figureOf(all.map((each) => each?.[key].mean));
  return {
    diversity: over('diversity'),
    promptDiversity: over('promptDiversity'),
    drift: over('drift'),
    alarms: [...new Set(all.flatMap((each) => each?.alarms ?? []))],
  };
}
