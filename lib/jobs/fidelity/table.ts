import type { FidelityResult, FidelitySummary, OracleRun } from './result.js';
import type { FidelityMeasurement } from './yardstick.js';

const number = (value: number, digits = 3): string => value.toFixed(digits);
const list = (values: readonly number[]): string => values.map((value) => number(value)).join(' ');

const measured = (measurement: FidelityMeasurement): string[] => [
  `${number(measurement.reward)} ± ${number(measurement.rewardError)}`,
  number(measurement.mmdSquared, 5),
  number(measurement.slicedWasserstein),
  number(measurement.kl),
  number(measurement.totalVariation),
  list(measurement.modeWeights),
];

const ofRun = (name: string, run: OracleRun): string[] => [
  `${name} ${run.seed}`,
  ...measured(run),
  `${run.forwards} + ${run.vjps}`,
  number(run.seconds, 1),
];

/** Mean and standard deviation, where there are several runs. */
function ofSummary(summary: FidelitySummary, runs: number): string[][] {
  if (runs === 1) return [];
  const row = (name: string, which: 'mean' | 'std', evaluations: string): string[] => [
    name,
    number(summary.reward[which]),
    number(summary.mmdSquared[which], 5),
    number(summary.slicedWasserstein[which]),
    number(summary.kl[which]),
    number(summary.totalVariation[which]),
    list(summary.modeWeights.map((spread) => spread[which])),
    evaluations,
    number(summary.seconds[which], 1),
  ];
  return [row('mean', 'mean', `${summary.forwards.mean} + ${summary.vjps.mean}`), row('± std', 'std', '')];
}

/** The result for people: what could be reached, what was there before, and a row a seed. */
export function fidelityTable({ exact, pretrained, floor, runs, summary, oracle }: FidelityResult): string {
  const rows = [
    ['', 'E[r]', 'MMD²', 'sliced W2', 'KL', 'TV', 'mode weights', 'forwards + VJPs', 'seconds'],
    ['exact', number(exact.reward), '0', '0', '0', '0', list(exact.modeWeights), '', ''],
    ['exact samples', ...measured(floor), '', ''],
    ['pretrained', ...measured(pretrained), '', ''],
    ...runs.map((run) => ofRun('seed', run)),
    ...ofSummary(summary, runs.length),
    ...(oracle ? oracle.runs.map((run) => ofRun('oracle', run)) : []),
    ...(oracle ? ofSummary(oracle.summary, runs.length) : []),
  ];
  const widths = rows[0]!.map((_, column) => Math.max(...rows.map((cells) => cells[column]!.length)));
  return rows
    .map((cells) =>
      cells
        .map((cell, column) => cell.padEnd(widths[column]!))
        .join('  ')
        .trimEnd(),
    )
    .concat(
      '',
      `E[r] ±: standard error of the mean over the samples drawn${runs.length > 1 ? '; ± std: over seeds' : ''}`,
    )
    .join('\n');
}
