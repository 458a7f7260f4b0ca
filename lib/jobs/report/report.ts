import { nameOfModel } from '../../models/kinds.js';
import type { ModelSource } from '../../models/registry.js';
import type { Evaluation } from '../../training/evaluation.js';
import { duration } from '../text.js';
import { evaluationNotes, evaluationRows, formatChange, formatGain } from './evaluation-table.js';
import {
  chartSection,
  compact,
  configurationSection,
  escapeHtml,
  finite,
  htmlTable,
  pngFigure,
  promptList,
  renderPage,
  tileList,
  type Tile,
} from './page.js';
import { samplesSection } from './samples-section.js';
import type { StepMetrics } from '../../training/metrics.js';

/** What the report draws of a line of metrics.jsonl. */
export type ReportedStep = Pick<
  StepMetrics,
  'step' | 'reward' | 'rewardStd' | 'rewards' | 'weightedRewards' | 'loss' | 'gradNorm' | 'total'
> & {
  drift?: number;
};

export interface ReportOptions {
  title: string;
  /** The run's folder, where there is one. */
  directory?: string;
  config: Readonly<Record<string, unknown>>;
  metrics: readonly ReportedStep[];
  evaluation?: Evaluation | undefined;
  /** Grids drawn from the same noise, the pretrained model's first. */
  grids: readonly { step: number; png: Uint8Array }[];
  versions: Readonly<Record<string, string>>;
  finished: Date;
}

/** One HTML file that holds everything it shows: charts, styles and pictures included. */
export async function renderReport({
  title,
  directory,
  config,
  metrics,
  evaluation,
  grids,
  versions,
  finished,
}: ReportOptions): Promise<string> {
  return renderPage({
    kicker: 'Fine-tuning report',
    title,
    subtitle: subtitle(config, metrics),
    sections: [
      tiles(metrics, evaluation),
      gridSection(grids, config),
      metrics.length
        ? chartSection('training', 'Training', {
            steps: 'steps',
            evaluations: 'network evaluations',
            seconds: 'seconds',
          })
        : '',
      evaluation ? evaluationSection(evaluation) : '',
      evaluation === undefined || directory === undefined ? '' : await samplesSection([{ name: title, directory }]),
      configurationSection(config),
    ],
    data: chartData(metrics),
    script: 'report.js',
    versions,
    finished,
  });
}

function subtitle(config: ReportOptions['config'], metrics: ReportOptions['metrics']): string {
  const algorithm = config['algorithm'] as { name?: string } | undefined;
  const last = metrics.at(-1);
  const parts = [`model ${nameOfModel(config['model'] as ModelSource)}`];
  if (algorithm?.name) parts.push(algorithm.name.toUpperCase());
  if (last) parts.push(`${last.step} steps of ${String(config['batch'])} samples`);
  return parts.join(' · ');
}

function tiles(metrics: ReportOptions['metrics'], evaluation: Evaluation | undefined): string {
  const items: Tile[] = [];
  if (evaluation) {
    const { before, after, change, gain, diversityRatio, count } = evaluation;
    const interval = change ? `; change ${formatChange(change.reward)}, 95 % interval` : '';
    items.push({
      value: formatGain(gain),
      label: 'reward',
      note: `${before.reward.mean.toFixed(2)} → ${after.reward.mean.toFixed(2)} on ${count} fresh samples${interval}`,
    });
    if (after.accuracy !== undefined && before.accuracy !== undefined) {
      items.push({
        value: `${(100 * after.accuracy).toFixed(1)} %`,
        label: 'show what was asked',
        note: `${(100 * before.accuracy).toFixed(1)} % before, by a judge that was no reward`,
      });
    }
    if (diversityRatio !== undefined) {
      items.push({
        value: diversityRatio === null ? '–' : `${Math.round(100 * diversityRatio)} %`,
        label: 'of the diversity kept',
        note: 'mean distance between samples',
      });
    }
  }
  const total = metrics.at(-1)?.total;
  if (total) {
    const evaluations = total.forwards + total.vjps + total.backwards;
    items.push({
      value: compact(evaluations),
      label: 'network evaluations',
      note: `${compact(total.forwards)} forwards, ${compact(total.backwards)} backwards`,
    });
    items.push({
      value: duration(total.seconds),
      label: 'of training',
      note: `${(total.seconds / metrics.length).toFixed(2)} s a step`,
    });
  }
  return tileList(items);
}

function gridSection(grids: ReportOptions['grids'], config: ReportOptions['config']): string {
  if (grids.length === 0) return '';
  const prompts = Array.isArray(config['prompts']) ? (config['prompts'] as string[]) : [];
  const figures = grids.map(({ step, png }, index) => {
    const when = index === 0 ? 'Before' : 'After';
    const caption = index === 0 ? 'the pretrained model' : `step ${step}`;
    return pngFigure(png, `${when} fine-tuning: a grid of samples`, `<strong>${when}</strong> ${escapeHtml(caption)}`);
  });
  return `<section aria-labelledby="samples">
<h2 id="samples">Samples</h2>
<p>Both grids start from the same noise, sample by sample${escapeHtml(promptList(prompts))}.</p>
<div class="grids">
${figures.join('\n')}
</div>
</section>`;
}

function evaluationSection(evaluation: Evaluation): string {
  const rows = evaluationRows(evaluation).map(({ name, before, after, change }) => [name, before, after, change]);
  return `<section aria-labelledby="evaluation">
<h2 id="evaluation">Evaluation</h2>
<p>${evaluation.count} fresh samples from seed ${escapeHtml(evaluation.seed)}, the same noise for both models.
${evaluationNotes(evaluation)
  .map((note) => `<br>${escapeHtml(note)}`)
  .join('\n')}</p>
${htmlTable({ head: ['', 'before', 'after', 'change'], rows }, 'change')}
</section>`;
}

function chartData(metrics: ReportOptions['metrics']): object {
  const names = Object.keys(metrics[0]?.rewards ?? {});
  const column = (pick: (step: ReportedStep) => number | undefined) => metrics.map((step) => finite(pick(step)));
  return {
    axes: {
      steps: column(({ step }) => step),
      evaluations: column(({ total }) => total.forwards + total.vjps + total.backwards),
      seconds: column(({ total }) => total.seconds),
    },
    reward: column(({ reward }) => reward),
    rewardStd: column(({ rewardStd }) => rewardStd),
    rewards:
      names.length > 1
        ? names.map((name) => ({
            name,
            values: column(({ rewards }) => rewards[name]),
            weighted: column(({ weightedRewards }) => weightedRewards[name]),
          }))
        : [],
    drift: column(({ drift }) => drift),
    loss: column(({ loss }) => loss),
    gradNorm: column(({ gradNorm }) => gradNorm),
  };
}
