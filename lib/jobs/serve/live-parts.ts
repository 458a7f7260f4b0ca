// This makes the words and tables of runs that a page shows beside their curves, as HTML by the name of its place.

import { escapeHtml, htmlTable } from '../report/page.js';
import { bytesText, duration } from '../text.js';
import type { LiveStatus } from './live-run.js';
import type { Tally } from './run-tally.js';

/** A run that is told of. */
export interface ToldRun {
  name: string;
  state: string;
  tally: Tally;
}

export type LivePartName = 'now' | 'stages' | 'losses' | 'services' | 'notes';
export type LiveParts = Readonly<Record<LivePartName, string>>;

/** The parts; an empty one is not shown. @param live of the run that goes on in this process, where one does */
export function livePartsOf(runs: readonly ToldRun[], live: LiveStatus | undefined): LiveParts {
  return {
    now: [...runs.map((run) => progress(run, live)), live ? memory(live) : ''].join('\n'),
    stages: stages(runs),
    losses: losses(runs),
    services: live ? services(live) : '',
    notes: live ? notes(live) : '',
  };
}

function progress({ name, state, tally: { step, steps, secondsPerStep, secondsLeft } }: ToldRun, live?: LiveStatus) {
  const task = live?.task;
  const left = task?.unit === 'step' ? task.secondsLeft : secondsLeft;
  const words = [
    state,
    `step ${step}${steps === null ? '' : ` of ${steps}`}`,
    secondsPerStep === null ? '' : `${figure(secondsPerStep)} s a step`,
    state === 'running' && step !== steps && left !== null ? `about ${duration(left)} left` : '',
    task && task.unit !== 'step' ? `${task.unit} ${task.done} of ${task.total}${leftOf(task.secondsLeft)}` : '',
    live?.isStopping ? 'stopping' : '',
    live?.checkpoint.isWanted ? 'a checkpoint is written after this step' : '',
  ];
  const label = escapeHtml(`steps of ${name}`);
  const bar = steps === null ? '' : `<progress max="${steps}" value="${step}" aria-label="${label}"></progress>`;
  return `<p><strong>${escapeHtml(name)}</strong> · ${escapeHtml(words.filter(Boolean).join(' · '))}</p>\n${bar}`;
}

const leftOf = (seconds: number | null): string => (seconds === null ? '' : `, about ${duration(seconds)} left`);

function memory({ memory: { resident, most, device } }: LiveStatus): string {
  const gpu = device ? ` · GPU ${bytesText(device.used)} of ${bytesText(device.total)} in use` : '';
  return `<p>Memory of the process ${bytesText(resident)}, at most ${bytesText(most)}${gpu}</p>`;
}

/** How long a step's stages take: a table, the runs' columns beside one another. */
function stages(runs: readonly ToldRun[]): string {
  const timed = runs.filter(({ tally }) => Object.keys(tally.stages).length);
  if (timed.length === 0) return '';
  const names = [...new Set(timed.flatMap(({ tally }) => Object.keys(tally.stages)))];
  const cell = (seconds: number, { tally }: ToldRun) =>
    `${figure(seconds)} s (${Math.round((100 * seconds) / (tally.secondsPerStep || 1))} %)`;
  const rows = names.map((name) => [name, ...timed.map((run) => cell(run.tally.stages[name] ?? 0, run))]);
  const others = timed.map((run) => {
    const sum = Object.values(run.tally.stages).reduce((total, seconds) => total + seconds, 0);
    return cell(Math.max(0, (run.tally.secondsPerStep ?? 0) - sum), run);
  });
  return titled('Stages of a step', 'means over the last 20 steps', {
    head: ['', ...namesOf(timed, 'time')],
    rows: [...rows, ['all else', ...others]],
  });
}

/** A table of how much was left out, and why. */
function losses(runs: readonly ToldRun[]): string {
  const counted = (name: string, of: (tally: Tally) => number) => [name, ...runs.map(({ tally }) => String(of(tally)))];
  const rewards = [...new Set(runs.flatMap(({ tally }) => Object.keys(tally.nonFinite)))];
  return titled('What is left out', 'counts since the first step', {
    head: ['', ...namesOf(runs, 'count')],
    rows: [
      counted('samples dropped: a reward, gradient or loss was not finite', ({ dropped }) => dropped),
      ...rewards.map((name) =>
        counted(`values of "${name}" that were missing or not finite`, (tally) => tally.nonFinite[name] ?? 0),
      ),
      counted("samples whose reward's gradient was clipped", ({ clipped }) => clipped),
      counted('terms of the loss that reached their cap', ({ capped }) => capped),
      counted('updates left out: no gradient, or none that is finite', ({ skipped }) => skipped),
    ],
  });
}

function services({ services: each }: LiveStatus): string {
  if (each.length === 0) return '';
  return titled('Rewards that ask services', 'requests, and images without an answer', {
    head: ['', 'under way', 'waiting', 'sent', 'repeated', 'known before', 'missing'],
    rows: each.map(({ name, running, waiting, requests, retries, cached, missing }) => [
      name,
      ...[running, waiting, requests, retries, cached, missing].map(String),
    ]),
  });
}

const notes = ({ notes: lines }: LiveStatus): string =>
  lines.length ? `<ol class="notes">${lines.map((line) => `<li>${escapeHtml(line)}</li>`).join('\n')}</ol>` : '';

const titled = (title: string, note: string, table: Parameters<typeof htmlTable>[0]): string =>
  `<h3>${title}</h3>\n<p>${note}</p>\n${htmlTable(table)}`;

/** The heads of the columns: the runs' names, or `what` alone where there is one run. */
const namesOf = (runs: readonly ToldRun[], what: string): string[] =>
  runs.length > 1 ? runs.map(({ name }) => name) : [what];

const figure = (seconds: number): string => String(Number(seconds.toPrecision(2)));
