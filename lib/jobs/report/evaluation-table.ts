import { gainOf, type Evaluation } from '../../training/evaluation.js';
import type { Spread } from '../../training/statistics.js';
import { fewSamples, type Change } from '../../training/student.js';
import { percent, signed } from '../figures.js';
import { alignedLines } from '../text-table.js';

/** A gain as the command line and the report show it. */
export function formatGain(gain: number | null): string {
  return gain === null ? '–' : `${signed(gain, 2)} σ`;
}

/** One row of the table that the command line and the report show. */
export interface EvaluationRow {
  name: string;
  before: string;
  after: string;
  change: string;
}

/** A mean difference with its interval. */
export function formatChange(change: Change | undefined): string {
  if (!change || change.mean === null) return '';
  const ends = change.interval?.map((end) => signed(end, 3));
  return `${signed(change.mean, 3)}${ends ? ` [${ends.join(', ')}]` : ''}`;
}

/** What the figures of the table are, and how far they can be trusted. */
export function evaluationNotes({ count, change, slicedWasserstein }: Evaluation): string[] {
  const { pairs, prompts } = change?.reward ?? { pairs: count, prompts: 1 };
  const [clusters, kind] = prompts > 1 ? [prompts, 'prompts'] : [pairs, 'pairs'];
  return [
    `±: standard deviation over the ${count} images of a model; σ: that of the pretrained model's rewards`,
    ...(change
      ? [
          'change: mean difference of image pairs from the same noise, with its 95 % interval from the spread ' +
            `between ${kind}`,
        ]
      : []),
    ...(slicedWasserstein === undefined
      ? []
      : ["sliced Wasserstein: distance between the two models' images in the judge's features"]),
    ...(change && clusters < fewSamples
      ? [`of fewer than ${fewSamples} ${kind} (${clusters}) the interval is rough`]
      : []),
  ];
}

export function evaluationRows({
  before,
  after,
  change,
  gain,
  diversityRatio,
  slicedWasserstein,
}: Evaluation): EvaluationRow[] {
  const changed = (paired: Change | undefined, gained: number | null) =>
    [formatChange(paired), formatGain(gained)].filter(Boolean).join('  ');
  const spread = ({ mean, std }: Spread) => `${mean.toFixed(3)} ± ${std.toFixed(3)}`;
  const rows = [
    {
      name: 'reward',
      before: spread(before.reward),
      after: spread(after.reward),
      change: changed(change?.reward, gain),
    },
  ];
  const names = Object.keys(before.rewards);
  if (names.length > 1) {
    for (const name of names) {
      const [old, now] = [before.rewards[name]!, after.rewards[name]!];
      rows.push({
        name,
        before: spread(old),
        after: spread(now),
        change: changed(change?.rewards[name], gainOf(old, now)),
      });
    }
  }
  if (before.accuracy !== undefined && after.accuracy !== undefined) {
    const points = 100 * (after.accuracy - before.accuracy);
    rows.push({
      name: 'judge sees the prompt',
      before: percent(before.accuracy),
      after: percent(after.accuracy),
      change: `${signed(points, 1)} points`,
    });
  }
  if (diversityRatio !== undefined) {
    rows.push({
      name: 'diversity',
      before: before.diversity!.toFixed(3),
      after: after.diversity!.toFixed(3),
      change: diversityRatio === null ? '–' : `× ${diversityRatio.toFixed(2)}`,
    });
  }
  if (slicedWasserstein !== undefined)
    rows.push({ name: 'sliced Wasserstein', before: '', after: '', change: slicedWasserstein.toFixed(3) });
  return rows;
}

/** The table, and below it what its figures are. */
export const evaluationText = (evaluation: Evaluation): string =>
  [evaluationTable(evaluation), '', ...evaluationNotes(evaluation)].join('\n');

export function evaluationTable(evaluation: Evaluation): string {
  const rows = evaluationRows(evaluation).map(({ name, before, after, change }) => [name, before, after, change]);
  return alignedLines([['', 'before', 'after', 'change'], ...rows]).join('\n');
}
