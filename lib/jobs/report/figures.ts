import type { Evaluation } from '../../training/evaluation.js';
import { percent } from '../figures.js';
import { duration } from '../text.js';
import { axesOf } from './charts.js';
import { evaluationRows, formatChange, formatGain } from './evaluation-table.js';
import { compact, type Tile } from './page.js';
import type { RunView } from './run-view.js';

/** How far a run is: its last step, of how many, and what became of it. */
export function progressOf({ metrics, config, state }: RunView): string {
  const done = metrics.at(-1)?.step ?? 0;
  const steps = Number(config['steps']);
  return state === 'finished' || !(steps >= done) ? `${done} steps` : `${done} of ${steps} steps`;
}

/** The network evaluations and seconds that training took so far. */
function costOf({ metrics }: RunView): { evaluations: number | null; seconds: number | null } {
  const { evaluations, seconds } = axesOf(metrics);
  return { evaluations: evaluations.at(-1) ?? null, seconds: seconds.at(-1) ?? null };
}

/** The results of one run at a glance. */
export function tilesOf(view: RunView): Tile[] {
  const { metrics, evaluation } = view;
  const { evaluations, seconds } = costOf(view);
  const perStep = seconds !== null && metrics.length ? [`${(seconds / metrics.at(-1)!.step).toFixed(2)} s a step`] : [];
  return [
    ...(evaluation ? evaluationTiles(evaluation) : []),
    ...(evaluations ? [{ value: compact(evaluations), label: 'network evaluations', note: 'of training' }] : []),
    ...(seconds === null ? [] : [{ value: duration(seconds), label: 'of training', note: perStep.join('') }]),
  ];
}

function evaluationTiles({ before, after, change, gain, diversityRatio, count }: Evaluation): Tile[] {
  const interval = change ? `; change ${formatChange(change.reward)}, 95 % interval` : '';
  const tiles = [
    {
      value: formatGain(gain),
      label: 'reward',
      note: `${before.reward.mean.toFixed(2)} → ${after.reward.mean.toFixed(2)} on ${count} fresh samples${interval}`,
    },
  ];
  if (after.accuracy !== undefined && before.accuracy !== undefined) {
    tiles.push({
      value: percent(after.accuracy),
      label: 'show what was asked',
      note: `${percent(before.accuracy)} before, by a judge that was no reward`,
    });
  }
  if (diversityRatio !== undefined) {
    tiles.push({
      value: diversityRatio === null ? '–' : `${Math.round(100 * diversityRatio)} %`,
      label: 'of the diversity kept',
      note: 'mean distance between samples',
    });
  }
  return tiles;
}

/** The last figures of several runs, a column each. A row is there where one of the runs has the figure. */
export function figureTable(
  views: readonly RunView[],
  names: readonly string[],
): { head: readonly string[]; rows: string[][] } {
  const rows = [
    { name: 'state', cells: views.map(({ state }) => state) },
    { name: 'steps', cells: views.map(progressOf) },
    { name: 'reward of the last steps', cells: views.map(lastReward) },
    ...evaluationFigures(views),
    { name: 'drift', cells: views.map(({ metrics }) => fixed(lastOf(metrics.map(({ drift }) => drift)))) },
    { name: 'loss of the last step', cells: views.map(({ metrics }) => fixed(metrics.at(-1)?.['loss'])) },
    {
      name: 'network evaluations',
      cells: views.map((view) => {
        const { evaluations } = costOf(view);
        return evaluations === null ? '' : compact(evaluations);
      }),
    },
    {
      name: 'time of training',
      cells: views.map((view) => {
        const { seconds } = costOf(view);
        return seconds === null ? '' : duration(seconds);
      }),
    },
  ];
  return {
    head: ['', ...names],
    rows: rows
      .filter(({ cells }) => cells.some((cell) => cell !== ''))
      .map(({ name, cells }) => [name, ...cells.map((cell) => cell || '–')]),
  };
}

/** Every row of the runs' tables of evaluation, each with what it was before, is now, and how it changed. */
function evaluationFigures(views: readonly RunView[]): { name: string; cells: string[] }[] {
  const tables = views.map(({ evaluation }) => (evaluation ? evaluationRows(evaluation) : []));
  const names = new Set(tables.flatMap((rows) => rows.map(({ name }) => name)));
  return [...names].map((name) => ({
    name: `evaluation: ${name}`,
    cells: tables.map((rows) => {
      const row = rows.find((each) => each.name === name);
      if (!row) return '';
      return [[row.before, row.after].filter(Boolean).join(' → '), row.change].filter(Boolean).join('\n');
    }),
  }));
}

/** Single batches are noisy: the mean over the last tenth of the steps, at least one and at most a hundred. */
function lastReward({ metrics }: RunView): string {
  const count = Math.min(100, Math.max(1, Math.round(metrics.length / 10)));
  const rewards = metrics
    .slice(-count)
    .map(({ reward }) => reward)
    .filter((value): value is number => typeof value === 'number');
  if (rewards.length === 0) return '';
  return `${fixed(rewards.reduce((sum, value) => sum + value, 0) / rewards.length)} (mean of ${rewards.length})`;
}

const lastOf = (values: readonly unknown[]): unknown => values.filter((value) => typeof value === 'number').at(-1);

const fixed = (value: unknown): string =>
  typeof value === 'number' ? (Math.abs(value) < 1e-3 && value !== 0 ? value.toExponential(2) : value.toFixed(3)) : '';
