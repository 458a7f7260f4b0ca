import { readFile } from 'node:fs/promises';
import { createRequire } from 'node:module';
import { dirname, join } from 'node:path';

import { packageDirectory } from './package.js';
import { evaluationRows, formatGain, type Evaluation } from './evaluation.js';
import { duration } from './progress.js';
import type { StepMetrics } from './trainer.js';

/** What the report draws of a line of metrics.jsonl. */
export type ReportedStep = Pick<StepMetrics, 'step' | 'reward' | 'rewardStd' | 'rewards' | 'loss' | 'gradNorm' | 'total'> & {
  drift?: number;
};

export interface ReportOptions {
  title: string;
  config: Readonly<Record<string, unknown>>;
  metrics: readonly ReportedStep[];
  evaluation?: Evaluation | undefined;
  /** Grids drawn from the same noise, the pretrained model's first. */
  grids: readonly { step: number; png: Uint8Array }[];
  versions: Readonly<Record<string, string>>;
  finished: Date;
}

/** One HTML file that holds everything it shows: charts, styles and pictures included. */
export async function renderReport(options: ReportOptions): Promise<string> {
  const uplot = dirname(createRequire(import.meta.url).resolve('uplot/package.json'));
  const asset = (name: string) => readFile(join(packageDirectory, 'assets', 'report', name), 'utf8');
  const [chartStyle, chartScript, style, script] = await Promise.all([
    readFile(join(uplot, 'dist', 'uPlot.min.css'), 'utf8'),
    readFile(join(uplot, 'dist', 'uPlot.iife.min.js'), 'utf8'),
    asset('report.css'),
    asset('report.js'),
  ]);
  const { title, config, metrics, evaluation, grids, versions, finished } = options;
  return `<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="color-scheme" content="light dark">
<title>${escape(title)} · eam-torch</title>
<style>
${chartStyle}
${style}
</style>
</head>
<body>
<main>
<header>
<p class="kicker">Fine-tuning report</p>
<h1>${escape(title)}</h1>
<p class="subtitle">${escape(subtitle(config, metrics))}</p>
</header>
${tiles(metrics, evaluation)}
${gridSection(grids, config)}
${chartSection(metrics)}
${evaluation ? evaluationSection(evaluation) : ''}
<section aria-labelledby="configuration">
<h2 id="configuration">Configuration</h2>
<details>
<summary>Everything this run was started with, defaults filled in</summary>
<pre><code>${escape(JSON.stringify(config, null, 2))}</code></pre>
</details>
</section>
<footer>
<p>Finished <time datetime="${finished.toISOString()}">${finished.toISOString().slice(0, 16).replace('T', ' ')} UTC</time> ·
${escape(Object.entries(versions).map(([name, version]) => `${name} ${version}`).join(' · '))}</p>
</footer>
</main>
<script type="application/json" id="metrics">${embed(chartData(metrics))}</script>
<script>${chartScript}</script>
<script>
${script}
</script>
</body>
</html>
`;
}

function subtitle(config: ReportOptions['config'], metrics: ReportOptions['metrics']): string {
  const algorithm = config['algorithm'] as { name?: string } | undefined;
  const last = metrics.at(-1);
  const parts = [`model ${String(config['model'])}`];
  if (algorithm?.name) parts.push(algorithm.name.toUpperCase());
  if (last) parts.push(`${last.step} steps of ${String(config['batch'])} samples`);
  return parts.join(' · ');
}

function tiles(metrics: ReportOptions['metrics'], evaluation: Evaluation | undefined): string {
  const items: { value: string; label: string; note: string }[] = [];
  if (evaluation) {
    const { before, after, gain, diversityRatio, count } = evaluation;
    items.push({
      value: formatGain(gain),
      label: 'reward',
      note: `${before.reward.mean.toFixed(2)} → ${after.reward.mean.toFixed(2)} on ${count} fresh samples`,
    });
    if (after.accuracy !== undefined && before.accuracy !== undefined) {
      items.push({
        value: `${(100 * after.accuracy).toFixed(1)} %`,
        label: 'show what was asked',
        note: `${(100 * before.accuracy).toFixed(1)} % before, by a judge that was no reward`,
      });
    }
    if (diversityRatio !== undefined) {
      items.push({ value: diversityRatio === null ? '–' : `${Math.round(100 * diversityRatio)} %`, label: 'of the diversity kept', note: 'mean distance between samples' });
    }
  }
  const total = metrics.at(-1)?.total;
  if (total) {
    const evaluations = total.forwards + total.vjps + total.backwards;
    items.push({ value: compact(evaluations), label: 'network evaluations', note: `${compact(total.forwards)} forwards, ${compact(total.backwards)} backwards` });
    items.push({ value: duration(total.seconds), label: 'of training', note: `${(total.seconds / metrics.length).toFixed(2)} s a step` });
  }
  if (items.length === 0) return '';
  const cells = items.map(({ value, label, note }) => `<li><strong>${escape(value)}</strong><span>${escape(label)}</span><small>${escape(note)}</small></li>`);
  return `<ul class="tiles" aria-label="Results at a glance">${cells.join('\n')}</ul>`;
}

function gridSection(grids: ReportOptions['grids'], config: ReportOptions['config']): string {
  if (grids.length === 0) return '';
  const prompts = Array.isArray(config['prompts']) ? (config['prompts'] as string[]) : [];
  const figures = grids.map(({ step, png }, index) => {
    const when = index === 0 ? 'Before' : 'After';
    const caption = index === 0 ? 'the pretrained model' : `step ${step}`;
    const data = Buffer.from(png).toString('base64');
    return `<figure>
<img src="data:image/png;base64,${data}" alt="${when} fine-tuning: a grid of samples">
<figcaption><strong>${when}</strong> ${escape(caption)}</figcaption>
</figure>`;
  });
  const asked = prompts.length ? `, prompts ${prompts.slice(0, 12).map((prompt) => `“${prompt}”`).join(' ')}${prompts.length > 12 ? ' …' : ''} in turn` : '';
  return `<section aria-labelledby="samples">
<h2 id="samples">Samples</h2>
<p>Both grids start from the same noise, sample by sample${escape(asked)}.</p>
<div class="grids">
${figures.join('\n')}
</div>
</section>`;
}

function chartSection(metrics: ReportOptions['metrics']): string {
  if (metrics.length === 0) return '';
  return `<section aria-labelledby="training">
<div class="heading">
<h2 id="training">Training</h2>
<fieldset class="axis" hidden>
<legend>Draw against</legend>
<label><input type="radio" name="axis" value="steps" checked><span>steps</span></label>
<label><input type="radio" name="axis" value="evaluations"><span>network evaluations</span></label>
<label><input type="radio" name="axis" value="seconds"><span>seconds</span></label>
</fieldset>
</div>
<div id="charts" class="charts"></div>
<noscript><p>The charts need JavaScript; their figures are in metrics.jsonl.</p></noscript>
</section>`;
}

function evaluationSection(evaluation: Evaluation): string {
  const rows = evaluationRows(evaluation).map(
    ({ name, before, after, change }) =>
      `<tr><th scope="row">${escape(name)}</th><td>${escape(before)}</td><td>${escape(after)}</td><td>${escape(change)}</td></tr>`,
  );
  return `<section aria-labelledby="evaluation">
<h2 id="evaluation">Evaluation</h2>
<p>${evaluation.count} fresh samples from seed ${escape(evaluation.seed)}, the same noise for both models. σ is the standard deviation of the pretrained model's samples.</p>
<div class="scroll"><table>
<thead><tr><td></td><th scope="col">before</th><th scope="col">after</th><th scope="col">change</th></tr></thead>
<tbody>
${rows.join('\n')}
</tbody>
</table></div>
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
    rewards: names.length > 1 ? names.map((name) => ({ name, values: column(({ rewards }) => rewards[name]) })) : [],
    drift: column(({ drift }) => drift),
    loss: column(({ loss }) => loss),
    gradNorm: column(({ gradNorm }) => gradNorm),
  };
}

const finite = (value: number | undefined): number | null =>
  typeof value === 'number' && Number.isFinite(value) ? Number(value.toPrecision(6)) : null;

const compact = (value: number): string =>
  new Intl.NumberFormat('en', { notation: 'compact', maximumSignificantDigits: 3 }).format(value);

const escape = (text: string): string =>
  text.replace(/[&<>"']/g, (character) => `&#${character.charCodeAt(0)};`);

/** JSON inside a script element must not close it. */
const embed = (value: unknown): string => JSON.stringify(value).replaceAll('<', '\\u003c');
