import type { FinishedComparison } from './comparison.js';
import { costOf, heightAt } from './curves.js';
import type { CurvePoint } from './results.js';
import { summarise, type Summary } from './statistics.js';

/** Contenders are set against each other at equal costs of these kinds. */
const equalAxes = ['evaluations', 'seconds'] as const;
export type EqualAxis = (typeof equalAxes)[number];

/** What every contender had come to at one and the same cost, on the tracking set. */
export interface EqualCost {
  axis: EqualAxis;
  /** The most that every run of every contender paid. */
  cost: number;
  /** By the measure's name and the contender's; a run between two measurements is on the straight line between them. */
  measures: Record<MeasureName, (Summary | undefined)[]>;
}

/** Tells whether more of a measure is better. */
export const measures = { reward: true, accuracy: true, diversity: true, drift: false } as const;
export type MeasureName = keyof typeof measures;

/**
 * Reads the curves at the highest cost that all runs reached. A contender that trains nothing has a curve of one point,
 * and is the same at every cost; runs that ended early are left out.
 * @returns undefined where a contender has no whole run
 */
export function equalCost({ contenders }: FinishedComparison, axis: EqualAxis): EqualCost | undefined {
  const whole = contenders.map(({ runs }) => runs.filter(({ failure }) => failure === undefined));
  if (whole.some((runs) => runs.length === 0)) return undefined;
  const ends = whole.flatMap((runs) =>
    runs.flatMap(({ points }) => (points.length > 1 ? [costOf(points.at(-1)!, axis)] : [])),
  );
  const cost = Math.min(...ends);
  const read = (pick: (point: CurvePoint) => number | undefined) =>
    whole.map((runs) =>
      summarise(
        runs.flatMap(({ points }) => {
          const heights = points.map(pick);
          if (heights.some((height) => height === undefined)) return [];
          const costs = points.map((point) => costOf(point, axis));
          return [heightAt(costs, heights as number[], cost)];
        }),
      ),
    );
  const names = Object.keys(measures) as MeasureName[];
  const found = Object.fromEntries(names.map((name) => [name, read((point) => point[name])]));
  return { axis, cost, measures: found as EqualCost['measures'] };
}

/** The curves read at equal evaluations and at equal seconds, where they can be. */
export const equalCosts = (comparison: FinishedComparison): EqualCost[] =>
  equalAxes.flatMap((axis) => equalCost(comparison, axis) ?? []);
