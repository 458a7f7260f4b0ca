import { nameOfModel } from '../../models/kinds.js';
import type { FinishedComparison } from './comparison.js';
import { isTrained } from './config.js';
import { duration } from '../text.js';
import {
  chartSection,
  configurationSection,
  escapeHtml,
  finite,
  htmlTable,
  pageFooter,
  pageHeader,
  pngFigure,
  promptList,
  renderPage,
  tileList,
  type Tile,
} from '../report/page.js';
import { partKey, type Band } from './curves.js';
import { fixed, times } from '../figures.js';
import { equalCosts } from './equal-cost.js';
import { equalCostTitle, failureSentences, lossSentences, speedUpSentences, sweepWarnings } from './sentences.js';
import { equalCostTable, speedUpTable, summaryTable, sweepTable } from './tables.js';

export interface ComparisonReport {
  title: string;
  comparison: FinishedComparison;
  /** Grids of the pretrained model and of one run of each contender, from the same noise. */
  grids: readonly { name: string; png: Uint8Array }[];
  finished: Date;
}

/** The comparison as one HTML file that needs nothing else. */
export function renderComparison({ title, comparison, grids, finished }: ComparisonReport): Promise<string> {
  const { config, contenders, versions, machine } = comparison;
  const seeds = config.seeds.length;
  const subtitle = [
    `model ${nameOfModel(config.model)}`,
    contenders.map(({ name }) => name).join(' against '),
    `λ = ${config.contenders[0]!.algorithm!.lambda}`,
    `${seeds} ${seeds > 1 ? 'seeds' : 'seed'}`,
    `${machine.processor}, ${machine.threads} threads, ${machine.device}`,
  ];
  return renderPage({
    title,
    header: pageHeader('Comparison', title, subtitle.join(' · ')),
    sections: [
      tileList(tiles(comparison)),
      findingsSection(comparison),
      curveSection(comparison),
      summarySection(comparison),
      equalCostSection(comparison),
      speedUpSection(comparison),
      sweepSection(comparison),
      gridSection(comparison, grids),
      configurationSection([{ config }]),
    ],
    data: chartData(comparison),
    scripts: ['charts.js', 'compare.js'],
    footer: pageFooter('Finished', finished, versions),
  });
}

function tiles({ speedUps, contenders, config }: FinishedComparison): Tile[] {
  const items: Tile[] = [];
  for (const { first, other, headline } of speedUps) {
    const axes = { evaluations: 'network evaluations', seconds: 'training time', steps: 'steps' } as const;
    for (const axis of ['evaluations', 'seconds', 'steps'] as const) {
      const ratio = headline?.[axis].ratio;
      if (ratio === undefined) continue;
      const pairs = headline?.[axis].pairs;
      items.push({
        value: times(ratio),
        label: axes[axis],
        note:
          `of ${first}, for ${other} to get as ` +
          `far${pairs && pairs.count > 1 ? `; ${times(pairs.low)} to ${times(pairs.high)} over seeds` : ''}`,
      });
    }
  }
  const seconds = contenders.flatMap(({ runs }) => runs).reduce((sum, { points }) => sum + points.at(-1)!.seconds, 0);
  const runs = config.contenders.filter(isTrained).length * config.seeds.length;
  items.push({
    value: duration(seconds),
    label: 'of training',
    note: `${runs} runs, the sweep and all measuring left out`,
  });
  return items;
}

function findingsSection(comparison: FinishedComparison): string {
  const { speedUps, config } = comparison;
  const sentences = [
    ...speedUps.flatMap((pair) => speedUpSentences(pair, config.seeds.length)),
    ...equalCosts(comparison).flatMap((equal) => lossSentences(comparison, equal)),
    ...failureSentences(comparison),
    ...sweepWarnings(comparison),
  ];
  return `<section aria-labelledby="findings">
<h2 id="findings">Findings</h2>
<ul class="findings">
${sentences.map((sentence) => `<li>${escapeHtml(sentence)}</li>`).join('\n')}
</ul>
</section>`;
}

function curveSection({ config }: FinishedComparison): string {
  const { count, seed } = config.tracking;
  return chartSection(
    'curves',
    'On the way',
    { evaluations: 'network evaluations', seconds: 'seconds', steps: 'steps' },
    `<p>Mean over seeds; the band reaches from the lowest seed to the highest. A network evaluation is one forward,
vector–Jacobian product or backward of one sample. Measured on ${count} samples from fixed noise (seed ${seed}) with
averaged weights; the measuring itself counts on no axis.</p>
<ul class="legend" id="contenders" aria-label="Contenders"></ul>`,
  );
}

function summarySection(comparison: FinishedComparison): string {
  const { count, seed } = comparison.config.evaluation;
  return `<section aria-labelledby="summary">
<h2 id="summary">At the end</h2>
<p>Mean ± standard deviation over seeds, on ${count} fresh samples (seed ${seed}), the same noise for every run. σ is
the standard deviation of the pretrained model's samples.</p>
${htmlTable(summaryTable(comparison))}
</section>`;
}

function equalCostSection(comparison: FinishedComparison): string {
  const tables = equalCosts(comparison).map(
    (equal) => `<h3>${escapeHtml(equalCostTitle(equal))}</h3>\n${htmlTable(equalCostTable(comparison, equal))}`,
  );
  if (tables.length === 0) return '';
  return `<section aria-labelledby="equal-cost">
<h2 id="equal-cost">At equal cost</h2>
<p>Mean ± standard deviation over seeds, on the tracking set, after the most that every run took. Between measurements,
straight lines.</p>
${tables.join('\n')}
</section>`;
}

function speedUpSection({ speedUps, config }: FinishedComparison): string {
  const tables = speedUps.map((pair) => {
    const { levels, headline, first, other } = pair;
    if (!levels.length && !headline)
      return `<p>${escapeHtml(`${first} and ${other} have no reward above the pretrained model's in common.`)}</p>`;
    return htmlTable(speedUpTable(pair, config.seeds.length), 'notes');
  });
  return `<section aria-labelledby="speed-up">
<h2 id="speed-up">Cost of equal reward</h2>
<p>What each needs to reach a reward of the tracking set, on the mean curves, and the ratio; in brackets the lowest and
highest over pairs of runs with one seed. Below 1× the first contender is the slower one. Between measurements, straight
lines.</p>
${tables.join('\n')}
</section>`;
}

function sweepSection(comparison: FinishedComparison): string {
  const { sweep, config } = comparison;
  if (!sweep.length) return '';
  return `<section aria-labelledby="sweep">
<h2 id="sweep">Learning rates</h2>
<p>Each contender at each rate, one short run (seed ${config.sweep!.seed}); the highest reward on the tracking set is
taken.</p>
${htmlTable(sweepTable(comparison), 'notes')}
</section>`;
}

function gridSection({ config }: FinishedComparison, grids: ComparisonReport['grids']): string {
  const figures = grids.map(({ name, png }) =>
    pngFigure(png, `${name}: a grid of samples`, `<strong>${escapeHtml(name)}</strong>`),
  );
  return `<section aria-labelledby="samples">
<h2 id="samples">Samples</h2>
<p>All grids start from the same noise, sample by sample${escapeHtml(promptList(config.prompts))}.</p>
<div class="grids">
${figures.join('\n')}
</div>
</section>`;
}

function chartData({ contenders, pretrained }: FinishedComparison): object {
  const numbers = (values: readonly number[]) => values.map(finite);
  const band = ({ mean, low, high }: Band) => ({ mean: numbers(mean), low: numbers(low), high: numbers(high) });
  const parts = Object.keys(pretrained.tracking.rewards);
  const charts = [
    {
      key: 'reward',
      title: 'Reward',
      note: `on the tracking set; the pretrained model has ${fixed(pretrained.tracking.reward.mean, 3)}`,
      wide: true,
    },
    ...parts.map((name) => ({ key: partKey(name), title: name, note: 'this reward alone, unweighted' })),
    {
      key: 'batchReward',
      title: 'Reward of the training batches',
      note: "drawn with each algorithm's own sampler, averaged since the measurement before",
    },
    { key: 'accuracy', title: 'Judge', note: 'fraction of images in which it sees what was asked', fraction: true },
    { key: 'diversity', title: 'Diversity', note: "mean distance over all pairs of images, in the judge's features" },
    {
      key: 'drift',
      title: 'Drift from the pretrained model',
      note: 'change of the velocity, relative to its own size',
    },
  ].filter(({ key }) => contenders.some(({ curve }) => curve.measures[key]));
  return {
    charts,
    contenders: contenders.map(({ name, curve: { steps, evaluations, seconds, measures } }) => ({
      name,
      curve: {
        steps: numbers(steps),
        evaluations: numbers(evaluations),
        seconds: numbers(seconds),
        measures: Object.fromEntries(Object.entries(measures).map(([key, measure]) => [key, band(measure)])),
      },
    })),
  };
}
