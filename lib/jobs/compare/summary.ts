import { markdownTable } from '../text-table.js';
import type { FinishedComparison } from './comparison.js';
import { equalCosts } from './equal-cost.js';
import { equalCostTitle, failureSentences, lossSentences, speedUpSentences, sweepWarnings } from './sentences.js';
import { equalCostTable, speedUpTable, summaryTable, sweepTable } from './tables.js';

/** The comparison as Markdown, for documents and terminals. */
export function renderSummary(comparison: FinishedComparison): string {
  const { contenders, speedUps, config, sweep, machine, versions } = comparison;
  const seeds = config.seeds.length;
  const parts = [
    `### ${contenders.map(({ name }) => name).join(' against ')}`,
    ...speedUps.map((pair) => speedUpSentences(pair, seeds).join(' ')),
    ...failureSentences(comparison),
    `Mean ± standard deviation over ${seeds} ${seeds > 1 ? 'seeds' : 'seed'}, ${config.evaluation.count} fresh ` +
      'samples each.',
    markdownTable(summaryTable(comparison)),
    ...equalCosts(comparison).flatMap((equal) => [
      `${equalCostTitle(equal)}, the most that every run took, on the tracking set (${config.tracking.count} ` +
        'samples), by straight lines between measurements:',
      markdownTable(equalCostTable(comparison, equal)),
      ...lossSentences(comparison, equal),
    ]),
    ...speedUps.flatMap((pair) => [
      'Cost of equal reward: on the mean curves and, in brackets, the lowest and highest over pairs of runs with ' +
        'one seed. Rewards are those of ' +
        `the tracking set (${config.tracking.count} samples); evaluations are forwards + VJPs + backwards.`,
      pair.levels.length || pair.headline
        ? markdownTable(speedUpTable(pair, seeds))
        : "No reward above the pretrained model's was reached by both means.",
    ]),
    ...(sweep.length
      ? [
          'Learning rates tried, one short run each:',
          markdownTable(sweepTable(comparison)),
          ...sweepWarnings(comparison),
        ]
      : []),
    `Measured on ${machine.processor} with ${machine.threads} threads (${machine.device}), ${Object.entries(versions)
      .map(([name, version]) => `${name} ${version}`)
      .join(', ')}.`,
  ];
  return `${parts.join('\n\n')}\n`;
}
