import { gainOf, ratio } from '../../training/evaluation.js';
import type { Measurement } from '../../training/measured-model.js';
import type { FinishedComparison, ContenderResult } from './comparison.js';
import { fixed, percent, times, whole } from '../figures.js';
import type { CurvePoint, RunResult } from './results.js';
import type { EqualCost } from './equal-cost.js';
import type { AxisSpeedUp, SpeedUp, SpeedUpLevel } from './speed-up.js';
import { summarise, type Summary } from './statistics.js';
import type { Table } from '../text-table.js';

const lastPoint = ({ points }: RunResult): CurvePoint => points.at(-1)!;

function meanAndStd(values: readonly (number | null | undefined)[], show: (value: number) => string): string {
  const known = values.filter((value): value is number => typeof value === 'number' && !Number.isNaN(value));
  return spread(summarise(known), show);
}

/** Where the runs ended: mean ± standard deviation over the seeds that got there. */
export function summaryTable({ contenders, pretrained }: FinishedComparison): Table {
  const before = pretrained.evaluation;
  const rows: string[][] = [];
  const row = (name: string, first: string, cell: (contender: ContenderResult) => string) =>
    rows.push([name, first, ...contenders.map(cell)]);
  const finals = ({ runs }: ContenderResult) => runs.flatMap(({ final }) => (final ? [final] : []));
  const measured = (
    name: string,
    show: (value: number) => string,
    first: string,
    pick: (final: Measurement) => number | null | undefined,
  ) => row(name, first, (contender) => meanAndStd(finals(contender).map(pick), show));
  const three = (value: number) => fixed(value, 3);

  measured('reward', three, three(before.reward.mean), ({ reward }) => reward.mean);
  measured(
    'gain, in σ of the pretrained',
    (value) => fixed(value, 2),
    '',
    ({ reward }) => gainOf(before.reward, reward),
  );
  const parts = Object.keys(before.rewards);
  if (parts.length > 1) {
    for (const part of parts)
      measured(part, three, three(before.rewards[part]!.mean), ({ rewards }) => rewards[part]?.mean);
  }
  if (before.accuracy !== undefined)
    measured('judge sees the prompt', percent, percent(before.accuracy), ({ accuracy }) => accuracy);
  if (before.diversity !== undefined) {
    measured('diversity, of the pretrained', percent, '', ({ diversity }) => ratio(diversity!, before.diversity!));
  }
  const atEnd = (name: string, show: (value: number) => string, pick: (point: CurvePoint) => number) =>
    row(name, '', ({ runs }) =>
      meanAndStd(
        runs.filter(({ final }) => final).map((run) => pick(lastPoint(run))),
        show,
      ),
    );
  atEnd('drift from the pretrained', three, ({ drift }) => drift);
  const cost = (name: string, pick: (point: CurvePoint) => number) =>
    row(name, '', ({ runs }) => costCell(runs.map((run) => pick(lastPoint(run)))));
  cost('steps', ({ step }) => step);
  cost('network evaluations', ({ evaluations }) => evaluations);
  cost('– forwards', ({ forwards }) => forwards);
  cost('– VJPs', ({ vjps }) => vjps);
  cost('– backwards', ({ backwards }) => backwards);
  atEnd(
    'training seconds',
    (value) => fixed(value, 1),
    ({ seconds }) => seconds,
  );
  atEnd(
    'evaluations a second',
    (value) => fixed(value, 0),
    ({ evaluations, seconds }) => (seconds > 0 ? evaluations / seconds : NaN),
  );
  row('evaluations an image drawn', '', ({ evaluationsPerImage }) => whole(evaluationsPerImage));
  row('learning rate', '', ({ learningRate }) => (learningRate === undefined ? '–' : String(learningRate)));
  row('runs finished', '', ({ runs }) => `${runs.filter(({ final }) => final).length} of ${runs.length}`);
  return { head: ['', 'pretrained', ...contenders.map(({ name }) => name)], rows };
}

/** One number where all seeds cost the same; a range where runs failed or dropped samples. */
function costCell(values: readonly number[]): string {
  const { low, high } = summarise(values)!;
  return low === high ? whole(low) : `${whole(low)} to ${whole(high)}`;
}

/** What all had come to at one cost, mean ± standard deviation over seeds. */
export function equalCostTable({ contenders, pretrained }: FinishedComparison, { measures }: EqualCost): Table {
  const before = pretrained.tracking;
  const three = (value: number) => fixed(value, 3);
  const ofPretrained = (value: number) => percent(value / before.diversity!);
  const rows = [
    ['reward', three(before.reward.mean), ...measures.reward.map((summary) => spread(summary, three))],
    ...(before.accuracy === undefined
      ? []
      : [['judge sees the prompt', percent(before.accuracy), ...measures.accuracy.map((one) => spread(one, percent))]]),
    ...(before.diversity === undefined
      ? []
      : [['diversity, of the pretrained', '', ...measures.diversity.map((one) => spread(one, ofPretrained))]]),
    ['drift from the pretrained', '', ...measures.drift.map((summary) => spread(summary, three))],
  ];
  return { head: ['', 'pretrained', ...contenders.map(({ name }) => name)], rows };
}

function spread(summary: Summary | undefined, show: (value: number) => string): string {
  if (!summary) return '–';
  return summary.count > 1 ? `${show(summary.mean)} ± ${show(summary.std)}` : show(summary.mean);
}

/** The levels both means reached and the one that every run reached, in order. */
export function speedUpTable({ first, other, levels, headline }: SpeedUp, seeds: number): Table {
  // The headline's level may be one of the others, to rounding.
  const isHeadline = (level: SpeedUpLevel) =>
    headline !== undefined && fixed(level.reward, 3) === fixed(headline.reward, 3);
  const shown = [...levels.filter((level) => !isHeadline(level)), ...(headline ? [headline] : [])].sort(
    (a, b) => a.reward - b.reward,
  );
  const cost = ({ first, other }: AxisSpeedUp) =>
    [first, other].map((value) => (value === undefined ? 'never' : whole(value)));
  const rows = shown.map((level) => [
    fixed(level.reward, 3),
    ...cost(level.evaluations),
    ...(['evaluations', 'seconds', 'steps'] as const).map((axis) => ratioCell(level[axis])),
    `${level.evaluations.pairs?.count ?? 0} of ${seeds}${level === headline ? ', headline' : ''}`,
  ]);
  return {
    head: [
      'reward',
      ...[first, other, `${other} / ${first}`].map((name) => `evaluations, ${name}`),
      `seconds, ${other} / ${first}`,
      `steps, ${other} / ${first}`,
      'seeds',
    ],
    rows,
  };
}

function ratioCell({ ratio: onMeans, pairs }: AxisSpeedUp): string {
  if (onMeans === undefined) return '–';
  return pairs && pairs.count > 1 ? `${times(onMeans)} (${times(pairs.low)} – ${times(pairs.high)})` : times(onMeans);
}

export function sweepTable({ sweep }: FinishedComparison): Table {
  const rows = sweep.map(
    ({ contender, learningRate, step, evaluations, reward, accuracy, drift, rejected, chosen }) => [
      contender,
      String(learningRate),
      whole(step),
      whole(evaluations),
      reward === undefined ? '–' : fixed(reward, 3),
      accuracy === undefined ? '–' : percent(accuracy),
      drift === undefined ? '–' : fixed(drift, 3),
      chosen ? 'taken' : rejected ? `not taken: ${rejected}` : '',
    ],
  );
  return { head: ['', 'learning rate', 'steps', 'evaluations', 'reward', 'judge', 'drift', ''], rows };
}
