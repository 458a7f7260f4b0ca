import type { FidelityResult } from './fidelity.js';
import type { FidelityMeasurement } from './yardstick.js';

const number = (value: number, digits = 3): string => value.toFixed(digits);
const list = (values: readonly number[]): string => values.map((value) => number(value)).join(' ');

/** The result for people: one row for what could be reached, what was there before, and each seed. */
export function fidelityTable({ exact, pretrained, floor, runs, summary }: FidelityResult): string {
  const row = (name: string, measured: FidelityMeasurement, cost = ['', '']): string[] => [
    name,
    `${number(measured.reward)} ± ${number(measured.rewardError)}`,
    number(measured.mmdSquared, 5),
    number(measured.slicedWasserstein),
    number(measured.kl),
    list(measured.modeWeights),
    ...cost,
  ];
  const rows = [
    ['', 'E[r]', 'MMD²', 'sliced W2', 'KL', 'mode weights', 'forwards + VJPs', 'seconds'],
    ['exact', number(exact.reward), '0', '0', '0', list(exact.modeWeights), '', ''],
    row('exact samples', floor),
    row('pretrained', pretrained),
    ...runs.map((run) => row(`seed ${run.seed}`, run, [`${run.forwards} + ${run.vjps}`, number(run.seconds, 1)])),
  ];
  if (runs.length > 1) {
    const { reward, mmdSquared, slicedWasserstein, kl, modeWeights, forwards, vjps, seconds } = summary;
    rows.push(
      [
        'mean',
        number(reward.mean),
        number(mmdSquared.mean, 5),
        number(slicedWasserstein.mean),
        number(kl.mean),
        list(modeWeights.map(({ mean }) => mean)),
        `${forwards.mean} + ${vjps.mean}`,
        number(seconds.mean, 1),
      ],
      [
        '± std',
        number(reward.std),
        number(mmdSquared.std, 5),
        number(slicedWasserstein.std),
        number(kl.std),
        list(modeWeights.map(({ std }) => std)),
        '',
        number(seconds.std, 1),
      ],
    );
  }
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
