import type { Comparison, ContenderResult } from './compare.js';
import { gainOf, ratio, type Measurement } from '../../training/evaluation.js';
import type { CurvePoint, RunResult } from './results.js';
import { summarise, type Axis, type AxisSpeedUp, type SpeedUp, type SpeedUpLevel } from './statistics.js';
import { atEdge } from './sweep.js';

/** What the report and the summary both show; the first column names the row. */
export interface Table {
  head: string[];
  rows: string[][];
}

export const fixed = (value: number, digits: number): string => value.toFixed(digits).replace('-', '−');
const whole = (value: number): string => new Intl.NumberFormat('en', { maximumFractionDigits: 0 }).format(value);
const percent = (value: number): string => `${fixed(100 * value, 1)} %`;

/** `3.2×`. */
export const times = (value: number): string => `${value >= 10 ? value.toFixed(0) : value.toFixed(value < 1 ? 2 : 1)}×`;

const lastPoint = ({ points }: RunResult): CurvePoint => points.at(-1)!;

function meanAndStd(values: readonly (number | null | undefined)[], show: (value: number) => string): string {
  const known = values.filter((value): value is number => typeof value === 'number');
  const summary = summarise(known);
  if (!summary) return '–';
  return summary.count > 1 ? `${show(summary.mean)} ± ${show(summary.std)}` : show(summary.mean);
}

/** Where the runs ended: mean ± standard deviation over the seeds that got there. */
export function summaryTable({ contenders, pretrained }: Comparison): Table {
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
    ({ evaluations, seconds }) => evaluations / seconds,
  );
  row('learning rate', '', ({ learningRate }) => String(learningRate));
  row('runs finished', '', ({ runs }) => `${runs.filter(({ final }) => final).length} of ${runs.length}`);
  return { head: ['', 'pretrained', ...contenders.map(({ name }) => name)], rows };
}

/** The same for all seeds unless runs failed or dropped samples. */
function costCell(values: readonly number[]): string {
  const { low, high } = summarise(values)!;
  return low === high ? whole(low) : `${whole(low)} to ${whole(high)}`;
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

export function sweepTable({ sweep }: Comparison): Table {
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

const axisNames: Record<Axis, string> = {
  evaluations: 'network evaluations',
  seconds: 'training seconds',
  steps: 'steps',
};

/** What the comparison of two contenders comes to, whoever it favours. */
export function speedUpSentences({ first, other, headline, best }: SpeedUp, seeds: number): string[] {
  const sentences: string[] = [];
  if (headline) {
    const parts = (['evaluations', 'seconds', 'steps'] as const).map((axis) => ratioPhrase(headline, axis, seeds));
    const common =
      seeds > 1 ? 'the highest reward that every run of both reached' : 'the highest reward that both reached';
    sentences.push(
      `To ${fixed(headline.reward, 3)}, ${common}, ${first} needs ${parts[0]}, ${parts[1]} and ${parts[2]} than ${other}.`,
    );
  } else {
    sentences.push(
      `No reward above the pretrained model's was reached by every run of ${first} and ${other}: there is no speed-up to state for all seeds.`,
    );
  }
  if (best.first !== best.other) {
    const [winner, loser] = best.first > best.other ? [first, other] : [other, first];
    const [high, low] = best.first > best.other ? [best.first, best.other] : [best.other, best.first];
    sentences.push(
      `Within its budget ${winner}'s mean came to ${fixed(high, 3)}; ${loser}'s never went beyond ${fixed(low, 3)}.`,
    );
  }
  return sentences;
}

function ratioPhrase(level: SpeedUpLevel, axis: Axis, seeds: number): string {
  const { ratio: onMeans, pairs } = level[axis];
  const name = axisNames[axis];
  const factor = onMeans ?? pairs?.mean;
  if (factor === undefined) return `an unknown number of ${name}`;
  const spread = (low: number, high: number) => (seeds > 1 ? ` (seed by seed ${times(low)} to ${times(high)})` : '');
  if (factor >= 1) return `${times(factor)} fewer ${name}${pairs ? spread(pairs.low, pairs.high) : ''}`;
  return `${times(1 / factor)} more ${name}${pairs ? spread(1 / pairs.high, 1 / pairs.low) : ''}`;
}

/** What a reader of the results should know about the sweep. */
export function sweepWarnings({ sweep, contenders }: Comparison): string[] {
  return contenders.flatMap(({ name }) => {
    const entries = sweep.filter(({ contender }) => contender === name);
    const edge = entries.length ? atEdge(entries) : undefined;
    return edge ? [`The rate of ${name} is the ${edge} that was tried; a better one may lie beyond it.`] : [];
  });
}

export function failureSentences({ contenders }: Comparison): string[] {
  return contenders.flatMap(({ name, runs }) =>
    runs.flatMap(({ seed, failure }) =>
      failure === undefined ? [] : [`${name} with seed ${seed} ended early: ${failure}`],
    ),
  );
}
