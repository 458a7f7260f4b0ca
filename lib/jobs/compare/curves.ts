import type { CurvePoint, RunResult } from './results.js';

/** A curve is drawn against one of these. */
export type Axis = 'evaluations' | 'seconds' | 'steps';

/**
 * One number for each measurement of a curve; NaN where there is none yet, as of training batches before the first
 * step.
 */
export interface Band {
  /** The mean over seeds. */
  mean: number[];
  /** The lowest value over seeds. */
  low: number[];
  /** The highest value over seeds. */
  high: number[];
}

/** Several seeds' curves are one here: seconds are averaged over seeds; steps and evaluations are the same for all. */
export interface MeanCurve extends Record<Axis, number[]> {
  /** How many training steps were done at each measurement. */
  steps: number[];
  /** How many forwards, vector–Jacobian products and backwards were computed up to each measurement. */
  evaluations: number[];
  /** How many seconds training took up to each measurement. */
  seconds: number[];
  /**
   * What was measured, by name: reward, and where they were measured batchReward, accuracy, diversity, drift and each
   * raw reward.
   */
  measures: Record<string, Band>;
}

/** A point's place on an axis. */
export const costOf = (point: CurvePoint, axis: Axis): number => (axis === 'steps' ? point.step : point[axis]);

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
    diversity: ({ diversity }) => diversity,
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

/** Where the line through (x, y) first reaches `level`; undefined where it never does. */
export function firstReached(x: readonly number[], y: readonly number[], level: number): number | undefined {
  const at = y.findIndex((value) => value >= level);
  if (at <= 0) return at === 0 ? x[0] : undefined;
  const fraction = (level - y[at - 1]!) / (y[at]! - y[at - 1]!);
  return x[at - 1]! + fraction * (x[at]! - x[at - 1]!);
}

/** The height at x = `at` of the line through (x, y): that of the nearer end beyond its ends. */
export function heightAt(x: readonly number[], y: readonly number[], at: number): number {
  const next = x.findIndex((value) => value >= at);
  if (next === 0) return y[0]!;
  if (next === -1) return y.at(-1)!;
  const fraction = (at - x[next - 1]!) / (x[next]! - x[next - 1]!);
  return y[next - 1]! + fraction * (y[next]! - y[next - 1]!);
}
