import type { CurvePoint, RunResult } from './results.js';

/** What a curve is drawn against. */
export const axes = ['evaluations', 'seconds', 'steps'] as const;
export type Axis = (typeof axes)[number];

/** One number for each measurement of a curve; NaN where there is none yet, as of training batches before the first step. */
export interface Band {
  /** Over seeds. */
  mean: number[];
  /** The lowest over seeds. */
  low: number[];
  /** The highest over seeds. */
  high: number[];
}

/** Several seeds' curves as one. Seconds are averaged over seeds; steps and evaluations are the same for all. */
export interface MeanCurve extends Record<Axis, number[]> {
  /** Training steps at each measurement. */
  steps: number[];
  /** Forwards, vector–Jacobian products and backwards up to it. */
  evaluations: number[];
  /** Seconds of training up to it. */
  seconds: number[];
  /** By name: reward, and where they were measured batchReward, accuracy, drift and each raw reward. */
  measures: Record<string, Band>;
}

/** What several values come to. */
export interface Summary {
  /** Arithmetic mean. */
  mean: number;
  /** Sample standard deviation (n − 1); 0 for a single value. */
  std: number;
  /** The smallest value. */
  low: number;
  /** The largest value. */
  high: number;
  /** How many values. */
  count: number;
}

/** Of an empty list, undefined. */
export function summarise(values: readonly number[]): Summary | undefined {
  const count = values.length;
  if (count === 0) return undefined;
  const mean = values.reduce((sum, value) => sum + value, 0) / count;
  const squares = values.reduce((sum, value) => sum + (value - mean) ** 2, 0);
  return {
    mean,
    std: count > 1 ? Math.sqrt(squares / (count - 1)) : 0,
    low: Math.min(...values),
    high: Math.max(...values),
    count,
  };
}

/** Where the line through (x, y) first reaches `level`; undefined where it never does. */
export function firstReached(x: readonly number[], y: readonly number[], level: number): number | undefined {
  const at = y.findIndex((value) => value >= level);
  if (at <= 0) return at === 0 ? x[0] : undefined;
  const fraction = (level - y[at - 1]!) / (y[at]! - y[at - 1]!);
  return x[at - 1]! + fraction * (x[at]! - x[at - 1]!);
}

const costOf = (point: CurvePoint, axis: Axis): number => (axis === 'steps' ? point.step : point[axis]);

const mean = (values: readonly number[]): number => values.reduce((sum, value) => sum + value, 0) / values.length;

/** The runs' mean, as far as the shortest of them goes. */
export function meanCurve(runs: readonly RunResult[]): MeanCurve {
  const length = Math.min(...runs.map(({ points }) => points.length));
  const rows = Array.from({ length }, (_, at) => runs.map(({ points }) => points[at]!));
  const parts = Object.keys(rows[0]![0]!.rewards);
  const picks: Record<string, (point: CurvePoint) => number | undefined> = {
    reward: ({ reward }) => reward,
    batchReward: ({ batchReward }) => batchReward,
    accuracy: ({ accuracy }) => accuracy,
    drift: ({ drift }) => drift,
    ...(parts.length > 1 &&
      Object.fromEntries(parts.map((name) => [partKey(name), ({ rewards }: CurvePoint) => rewards[name]]))),
  };
  const measures: MeanCurve['measures'] = {};
  for (const [name, pick] of Object.entries(picks)) {
    const columns = rows.map((row) => row.map((point) => pick(point) ?? NaN));
    if (columns.flat().every(Number.isNaN)) continue;
    measures[name] = {
      mean: columns.map(mean),
      low: columns.map((values) => Math.min(...values)),
      high: columns.map((values) => Math.max(...values)),
    };
  }
  const against = (axis: Axis) => rows.map((row) => mean(row.map((point) => costOf(point, axis))));
  return { steps: against('steps'), evaluations: against('evaluations'), seconds: against('seconds'), measures };
}

/** The name under which a mean curve keeps a raw reward. */
export const partKey = (name: string): string => `reward: ${name}`;

/** How many times the first contender's cost the other one needs for the same reward, on one axis. */
export interface AxisSpeedUp {
  /** The first contender's cost on its mean curve; absent where the mean never reached the level. */
  first?: number;
  /** The same of the other one. */
  other?: number;
  /** other / first, on the mean curves. */
  ratio?: number;
  /** The same for each seed's pair of runs; absent where no pair reached the level. */
  pairs?: Summary;
}

/** Costs to reach one reward. */
export interface SpeedUpLevel extends Record<Axis, AxisSpeedUp> {
  /** In training steps. */
  steps: AxisSpeedUp;
  /** In forwards, vector–Jacobian products and backwards. */
  evaluations: AxisSpeedUp;
  /** In seconds of training. */
  seconds: AxisSpeedUp;
  /** On the tracking set. */
  reward: number;
  /** Whether every run of both contenders reached it. */
  reachedByAll: boolean;
}

/** The first contender against another one. */
export interface SpeedUp {
  /** The first contender's name. */
  first: string;
  /** The other one's name. */
  other: string;
  /** Rising; without those that only one mean reached. */
  levels: SpeedUpLevel[];
  /** The highest reward that every run of both reached, if it is above the pretrained model's. */
  headline?: SpeedUpLevel;
  /** The highest reward of either mean curve. */
  best: {
    /** Of the first contender. */
    first: number;
    /** Of the other one. */
    other: number;
  };
}

/** Levels between the pretrained model's reward and the highest that both means reached. */
const levelCount = 8;

/**
 * Costs to equal reward, by linear interpolation between measurements.
 * @param first runs of one contender, all with at least the point of step 0
 * @param other runs of another; pairs share a seed
 */
export function speedUp(first: readonly RunResult[], other: readonly RunResult[]): SpeedUp {
  const curves = [meanCurve(first), meanCurve(other)] as const;
  const start = curves[0].measures['reward']!.mean[0]!;
  const best = curves.map((curve) => Math.max(...curve.measures['reward']!.mean)) as [number, number];
  const common = Math.min(...best);
  const everyone = Math.min(
    ...[...first, ...other].map(({ points }) => Math.max(...points.map(({ reward }) => reward))),
  );
  const rewards =
    common > start
      ? Array.from({ length: levelCount }, (_, at) => start + ((common - start) * (at + 1)) / levelCount)
      : [];
  const levelAt = (reward: number): SpeedUpLevel => {
    const on = (axis: Axis) => axisSpeedUp(first, other, curves, axis, reward);
    return {
      reward,
      reachedByAll: reward <= everyone,
      evaluations: on('evaluations'),
      seconds: on('seconds'),
      steps: on('steps'),
    };
  };
  return {
    first: first[0]!.contender,
    other: other[0]!.contender,
    levels: rewards.map(levelAt),
    ...(everyone > start && { headline: levelAt(everyone) }),
    best: { first: best[0], other: best[1] },
  };
}

function axisSpeedUp(
  first: readonly RunResult[],
  other: readonly RunResult[],
  curves: readonly [MeanCurve, MeanCurve],
  axis: Axis,
  level: number,
): AxisSpeedUp {
  const reached = ({ points }: RunResult) =>
    firstReached(
      points.map((point) => costOf(point, axis)),
      points.map(({ reward }) => reward),
      level,
    );
  const ratios = first.flatMap((run) => {
    const twin = other.find(({ seed }) => seed === run.seed);
    const costs = [reached(run), twin && reached(twin)];
    return costs[0] && costs[1] ? [costs[1] / costs[0]] : [];
  });
  const [a, b] = curves.map((curve) => firstReached(curve[axis], curve.measures['reward']!.mean, level));
  const pairs = summarise(ratios);
  return {
    ...(a !== undefined && { first: a }),
    ...(b !== undefined && { other: b }),
    ...(a && b && { ratio: b / a }),
    ...(pairs && { pairs }),
  };
}
