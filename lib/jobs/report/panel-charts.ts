import type { Spread } from '../../training/statistics.js';
import { panelMeasures, spreadFor, type MeasureName } from '../../training/panel/measures.js';
import type { Chart, Line } from './charts.js';
import { finite } from './page.js';
import { member, type ReadMetrics, type RunView } from './run-view.js';

/** One number of the panel, and where it is in a line of metrics.jsonl and in the baseline. */
interface Shown {
  path: readonly string[];
  measure: MeasureName;
  title: string;
}

/** Named groups of scores, and what limits apply to them. */
const groups = { judges: 'Judge', watched: 'Watched' } as const;

/**
 * The charts of what the panel measured: each run's curve, and the pretrained model's mean with one standard deviation
 * around it. The note tells at which steps the measure was an alarm.
 */
export function panelCharts(views: readonly RunView[], names: readonly string[]): Chart[] {
  return [...shownIn(views).map((shown) => chartOf(shown, views, names)), ...driftByTime(views)];
}

function shownIn(views: readonly RunView[]): Shown[] {
  const panels = views.flatMap(({ metrics }) => metrics.map(({ panel }) => panel)).filter(Boolean);
  const isMeasured = (path: readonly string[]) => panels.some((panel) => typeof member(panel, ...path) === 'number');
  const own = Object.keys(panelMeasures)
    .map((name) => ({ path: [name], measure: name as MeasureName, title: titleOf(name) }))
    .filter(({ path, measure }) => measure !== 'drift' && isMeasured(path));
  const scores = Object.entries(groups).flatMap(([group, title]) =>
    [...new Set(panels.flatMap((panel) => Object.keys(Object(member(panel, group)) as object)))].map((name) => ({
      path: [group, name],
      measure: 'judge' as const,
      title: `${title}: ${name}`,
    })),
  );
  return [...scores, ...own];
}

/** `promptDiversity` as `Prompt diversity`. */
const titleOf = (name: string): string =>
  name
    .replace(/^./, (letter) => letter.toUpperCase())
    .replace(/[A-Z]/g, (letter, at) => (at ? ` ${letter.toLowerCase()}` : letter));

function chartOf({ path, measure, title }: Shown, views: readonly RunView[], names: readonly string[]): Chart {
  const isWatched = path[0] === 'watched';
  const alarmed = isWatched ? [] : views.flatMap(({ metrics }) => metrics.filter((step) => isAlarm(step, measure)));
  const alarm = alarmed.length ? ` Alarm after step ${alarmed[0]!.step}.` : '';
  const text = isWatched ? 'The mean score of a reward that is only watched.' : panelMeasures[measure].text;
  const lines = views.flatMap(({ metrics, baseline }, run): Line[] => {
    const values = metrics.map(({ panel }) => finite(member(panel, ...path)));
    if (!values.some((value) => value !== null)) return [];
    const base = member(baseline, ...path) as Spread | undefined;
    const name = names[run]!;
    if (!base) return [{ name, run, values }];
    const at = (number: number) => values.map((value) => (value === null ? null : finite(number)));
    const pretrained = views.length > 1 ? `${name}, pretrained` : 'pretrained';
    return [
      { name, run, values },
      { name: pretrained, run, values: at(base.mean), spread: at(spreadFor(measure, base)) },
    ];
  });
  return { key: `panel/${path.join('/')}`, title, note: `${text}${alarm}`, sparse: true, lines };
}

const alarmsOf = (metrics: ReadMetrics): readonly unknown[] => {
  const alarms = member(metrics, 'panel', 'alarms');
  return Array.isArray(alarms) ? alarms : [];
};

/** Tells whether a step's measures were an alarm, of this measure or of any. */
export const isAlarm = (metrics: ReadMetrics, measure?: MeasureName): boolean =>
  measure === undefined ? alarmsOf(metrics).length > 0 : alarmsOf(metrics).includes(measure);

/** With one run, the drift at the times of each quarter of [0, 1]. */
function driftByTime(views: readonly RunView[]): Chart[] {
  const [{ metrics }] = views as [RunView];
  const quarters = Object.keys(
    Object(metrics.map(({ panel }) => member(panel, 'driftByTime')).find(Boolean)) as object,
  );
  if (views.length > 1 || quarters.length === 0) return [];
  return [
    {
      key: 'panel/driftByTime',
      title: 'Drift by time',
      note: 'change of the velocity, relative to its own size, from noise at 0 to data at 1',
      sparse: true,
      lines: quarters.map((name) => ({
        name,
        run: 0,
        values: metrics.map(({ panel }) => finite(member(panel, 'driftByTime', name))),
      })),
    },
  ];
}
