import { randomBytes } from 'node:crypto';

import { escapeHtml, pageHeader, renderPage } from '../report/page.js';
import { renderReport } from '../report/report.js';
import { gridAddress, statusOf, type ShownRun, type Status } from './feed.js';
import type { LivePartName } from './live-parts.js';
import type { LiveRun } from './live-run.js';
import type { Answer } from './page-server.js';
import type { ListedRun } from './run-folder.js';

/** The runs that a page is made for. */
export interface Shown {
  /** The runs that there are. */
  all: readonly ListedRun[];
  /** Those that are shown. */
  shown: readonly ShownRun[];
  /** The run that goes on in this process. */
  live: LiveRun | undefined;
}

/** The page of some runs. Before the first run has begun, it says that none is there yet. */
export async function livePage({ all, shown, live }: Shown): Promise<Answer> {
  const nonce = randomBytes(16).toString('base64');
  const query = shown.map(({ key }) => `run=${encodeURIComponent(key)}`).join('&');
  const status = statusOf(shown, live);
  const more = {
    nonce,
    styles: ['live.css'],
    scripts: ['live.js'],
    sections: [live ? '' : chooser(all, shown), liveSection(status, live !== undefined), streamAddress(query)],
  };
  const body = shown.length
    ? await renderReport(
        shown.map(({ run }) => run.view),
        gridAddress(shown),
        more,
      )
    : await renderPage({ ...more, ...nothingYet(live !== undefined), data: {} });
  return { status: 200, body, headers: { 'content-type': 'text/html; charset=utf-8', ...policy(nonce) } };
}

/** Only the page's own scripts run, whatever a prompt or a setting may hold. */
const policy = (nonce: string) => ({
  'content-security-policy':
    `default-src 'none'; script-src 'nonce-${nonce}'; style-src 'unsafe-inline'; img-src 'self' data:; ` +
    "connect-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'",
});

const nothingYet = (isLive: boolean) => ({
  title: isLive ? 'A run that begins' : 'Runs',
  header: isLive
    ? pageHeader('Fine-tuning', 'A run that begins', 'The page shows it as soon as its folder is there.')
    : pageHeader('Runs', 'No run yet', 'The folder holds none; the page shows the first as soon as it is there.'),
  footer: '',
});

/** The address of the events that live.js listens to, as the page holds it. */
function streamAddress(query: string): string {
  const json = JSON.stringify({ events: `events?${query}` }).replaceAll('<', '\\u003c');
  return `<script type="application/json" id="stream">${json}</script>`;
}

function liveSection({ parts, canSave, canStop }: Status, isLive: boolean): string {
  const place = (name: LivePartName) => `<div data-live="${name}">${parts[name]}</div>`;
  return `<section aria-labelledby="now" class="live">
<div class="heading">
<h2 id="now">Now</h2>
${isLive ? buttons(canSave, canStop) : ''}
</div>
<p id="connection" class="word" role="status"></p>
<p id="answer" class="word" role="status"></p>
${place('now')}
<div class="beside">
${place('stages')}
${place('losses')}
</div>
${place('services')}
${isLive ? `<details class="said"><summary>What the run says</summary>${place('notes')}</details>` : ''}
</section>`;
}

const buttons = (canSave: boolean, canStop: boolean): string => `<div class="actions">
<button type="button" id="save" aria-disabled="${!canSave}">Checkpoint now</button>
<button type="button" id="stop" aria-disabled="${!canStop}">Stop …</button>
</div>
<dialog id="confirm" aria-labelledby="confirm-title">
<form method="dialog">
<h3 id="confirm-title">Stop the run?</h3>
<p>It writes a checkpoint and ends, as with Ctrl-C. <code>--resume</code> goes on from there.</p>
<div class="actions">
<button value="">Keep running</button>
<button value="stop">Stop the run</button>
</div>
</form>
</dialog>`;

/** The choice of the runs that are shown. */
function chooser(all: readonly ListedRun[], shown: readonly ShownRun[]): string {
  if (all.length < 2) return '';
  const keys = new Set(shown.map(({ key }) => key));
  const choices = all.map(
    ({ key, isRunning, changed }) => `<li><label>
<input type="checkbox" name="run" value="${escapeHtml(key)}"${keys.has(key) ? ' checked' : ''}>
<span>${escapeHtml(key)}</span>
<small>${isRunning ? 'running' : `last written ${changed.toISOString().slice(0, 16).replace('T', ' ')} UTC`}</small>
</label></li>`,
  );
  return `<section aria-labelledby="chooser">
<h2 id="chooser">Runs</h2>
<form class="chooser" method="get">
<ul>
${choices.join('\n')}
</ul>
<button>Show these</button>
</form>
</section>`;
}
