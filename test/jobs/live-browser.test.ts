// Live pages in Chromium: what they show as runs go on, and what the keyboard reaches.
import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';

import type { Page } from 'playwright-core';
import { afterAll, afterEach, beforeAll, describe, expect, it, vi } from 'vitest';

import { Feed } from '../../lib/jobs/serve/feed.js';
import { PageServer } from '../../lib/jobs/serve/page-server.js';
import { findRuns } from '../../lib/jobs/serve/run-folder.js';
import { RunSite } from '../../lib/jobs/serve/run-site.js';
import { chromiumPath, TestBrowser } from '../helpers/browser.js';
import { configFile } from '../helpers/finetune-config.js';
import { finetune } from '../helpers/jobs.js';
import { append, logged, png, writeRun } from '../helpers/run-folder.js';
import { temporaryFolder } from '../helpers/tiny-run.js';

const token = 'token-of-this-test';

/** Counts the points of lines that are drawn, and the elements that are added to charts. */
const countDrawing = `
  globalThis.counts = { points: 0, nodes: 0 };
  for (const shape of [Path2D.prototype, CanvasRenderingContext2D.prototype]) {
    const { lineTo } = shape;
    shape.lineTo = function (...place) {
      counts.points++;
      return lineTo.apply(this, place);
    };
  }
  new MutationObserver((changes) => {
    for (const { addedNodes } of changes) counts.nodes += addedNodes.length;
  }).observe(document.getElementById('charts'), { childList: true, subtree: true });`;

describe.skipIf(!chromiumPath)('a live page in a browser', () => {
  let browser: TestBrowser;
  beforeAll(async () => {
    browser = await TestBrowser.start();
  });
  afterAll(async () => browser[Symbol.asyncDispose]());

  const closing: (() => Promise<void>)[] = [];
  afterEach(async () => {
    for (const close of closing.splice(0)) await close();
  });

  async function serve(folder: string, port = 0) {
    const site = new RunSite(
      () => findRuns(folder),
      () => {},
      undefined,
      50,
    );
    const { server, url } = await PageServer.start(site, { port, token }, () => {});
    const close = async () => {
      await Promise.all([site.close(), server.close()]);
    };
    closing.push(close);
    const kill = async () => {
      vi.spyOn(Feed.prototype, 'end').mockRejectedValueOnce(new Error('killed'));
      await close();
    };
    return { url, close, kill };
  }

  const text = (page: Page, wanted: string) => page.getByText(wanted).first().waitFor();
  /** Presses Tab until an element has the focus. */
  async function tabTo(page: Page, selector: string): Promise<void> {
    for (let presses = 0; presses < 100; presses++) {
      await page.keyboard.press('Tab');
      if (await page.evaluate(`document.activeElement.matches(${JSON.stringify(selector)})`)) return;
    }
    throw new Error(`Tab does not come to ${selector}`);
  }
  /** The browser reports a stream of events that a page has left as aborted, which is no fault of the page. */
  const own = (problems: string[]) => problems.filter((problem) => !problem.includes('ERR_ABORTED'));
  const chartLabel = (page: Page, title: string) =>
    page.locator(`[role=img][aria-label^="${title}"]`).getAttribute('aria-label');

  it('takes up new steps, grids and the end of a run, without being built anew', async () => {
    const run = writeRun(join(temporaryFolder(), 'a'), { grids: [0, 1] });
    const { page, problems } = await browser.open((await serve(run)).url);
    await text(page, 'step 3 of 10');
    await page.evaluate('void (globalThis.canvas = document.querySelector("#charts canvas"))');
    append(run, logged(4, { reward: 7.5, dropped: 3 }));
    await text(page, 'step 4 of 10');
    await page.locator('#charts').getByText('Dropped samples').waitFor();
    expect(await chartLabel(page, 'Dropped samples')).toContain('from 0 to');
    expect(await page.getByRole('progressbar', { name: 'steps of a' }).getAttribute('value')).toBe('4');
    writeFileSync(join(run, 'samples', 'step-4.png'), png(200));
    const slider = page.getByRole('slider');
    await page.locator('input[type=range][max="1"]').waitFor();
    expect(await slider.getAttribute('aria-valuetext')).toBe('step 4');
    const width = page.evaluate(
      '((image) => image.decode().then(() => image.naturalWidth))([...document.images].at(-1))',
    );
    expect(await width).toBe(2);
    writeFileSync(join(run, 'run.json'), JSON.stringify({ state: 'failed', problem: 'no <memory>', versions: {} }));
    await text(page, 'no <memory>');
    expect(await page.evaluate('canvas.isConnected')).toBe(true);
    expect(own(problems)).toEqual([]);
  });

  it('draws ten thousand steps, and each that follows, with a bounded number of points', async () => {
    const run = writeRun(join(temporaryFolder(), 'long'), { steps: 10_000, config: { steps: 20_000 } });
    const { page, problems } = await browser.open((await serve(run)).url);
    await text(page, 'step 10000 of 20000');
    await page.evaluate(countDrawing);
    for (let step = 10_001; step <= 10_005; step++) {
      append(run, logged(step));
      await text(page, `step ${step} of 20000`);
    }
    const drawn = 'Object.assign(counts, { width: document.getElementById("charts").clientWidth })';
    const { points, nodes, width } = await page.evaluate<{ points: number; nodes: number; width: number }>(drawn);
    expect(points).toBeGreaterThan(0);
    // There were five updates of three charts with at most four lines, and a line has four points for each column of
    // pixels.
    expect(points).toBeLessThan(5 * 3 * 4 * 4 * width);
    // Only the numbers of the legends were added, and no chart was built anew.
    expect(nodes).toBeLessThan(5 * 3 * 20);
    expect(own(problems)).toEqual([]);
  });

  it('says that its server is gone, and goes on when it is there again', async () => {
    const run = writeRun(join(temporaryFolder(), 'a'));
    const first = await serve(run);
    const { page } = await browser.open(first.url);
    await text(page, 'step 3 of 10');
    await first.close();
    await page.getByRole('status').getByText('The server has ended').waitFor();
    append(run, logged(4));
    const { port } = new URL(first.url);
    const second = await serve(run, Number(port));
    await text(page, 'step 4 of 10');
    await page.locator('#connection:empty').waitFor({ state: 'attached' });
    // A server that is killed does not tell its readers that it ends.
    await second.kill();
    await page.getByRole('status').getByText('Not connected').waitFor();
    append(run, logged(5));
    await serve(run, Number(port));
    await text(page, 'step 5 of 10');
    append(run, logged(6));
    await text(page, 'step 6 of 10');
  });

  it('lets runs be chosen and compared with the keyboard alone', async () => {
    const folder = temporaryFolder();
    for (const [name, learningRate] of [
      ['a', 1e-3],
      ['b', 1e-4],
    ] as const)
      writeRun(join(folder, name), { config: { optimizer: { learningRate } } });
    const { page, problems } = await browser.open(`${(await serve(folder)).url}?run=a`, { colorScheme: 'dark' });
    expect(await page.evaluate('getComputedStyle(document.body).backgroundColor')).toBe('rgb(18, 19, 22)');
    await tabTo(page, 'input[name=run][value=b]');
    await page.keyboard.press('Space');
    await tabTo(page, '.chooser button');
    await page.keyboard.press('Enter');
    await page.waitForURL(/run=a&run=b$/);
    await page.getByRole('heading', { name: 'Settings that differ' }).waitFor();
    await page.getByRole('rowheader', { name: 'optimizer.learningRate' }).waitFor();
    append(join(folder, 'b'), logged(4));
    await text(page, 'step 4 of 10');
    expect(await page.getByRole('progressbar').count()).toBe(2);
    expect(own(problems)).toEqual([]);
  });

  it('follows a run from its beginning, saves it and stops it with the keyboard alone', async () => {
    const settings = JSON.parse(readFileSync(configFile({ steps: 100_000, checkpoints: { every: 1000 } }), 'utf8'));
    const notes: string[] = [];
    const observer = { begin() {}, advance() {}, note: (line: string) => void notes.push(line), end() {} };
    let opened!: ReturnType<TestBrowser['open']>;
    const onAddress = (url: string) => {
      opened = browser.open(url);
    };
    const running = finetune(settings, { observer, serve: { port: 0, token, onAddress } });
    const ended = running.then(
      () => 'finished',
      (error: Error) => error.message,
    );
    while (!opened) await new Promise((resolve) => setTimeout(resolve, 10));
    const { page } = await opened;
    await page.getByText(/running · step [3-9]\d* of 100000/).waitFor();
    await page.locator('#save[aria-disabled=false]').waitFor();
    await tabTo(page, '#save');
    expect(await page.evaluate('document.activeElement.textContent')).toBe('Checkpoint now');
    await page.keyboard.press('Enter');
    await page.getByRole('status').getByText('A checkpoint is written after this step.').waitFor();
    await page.getByText('What the run says').focus();
    await page.keyboard.press('Enter');
    await page
      .getByRole('listitem')
      .filter({ hasText: /wrote a checkpoint of step \d+, as the page asked/ })
      .waitFor();
    const dialog = page.getByRole('dialog', { name: 'Stop the run?' });
    await page.getByRole('button', { name: 'Stop …' }).focus();
    await page.keyboard.press('Enter');
    await dialog.waitFor();
    await page.keyboard.press('Escape');
    await dialog.waitFor({ state: 'hidden' });
    expect(notes.some((line) => line.startsWith('stopping'))).toBe(false);
    // The focus is on the button that opened the dialog.
    expect(await page.evaluate('document.activeElement.id')).toBe('stop');
    await page.keyboard.press('Enter');
    await dialog.waitFor();
    await tabTo(page, 'dialog button[value=stop]');
    await page.keyboard.press('Enter');
    expect(await ended).toBe('interrupted by its live page');
    await page.getByRole('status').getByText('has ended').waitFor();
    await page.getByText(/stopped · step \d+ of 100000/).waitFor();
    expect(await page.getByRole('button', { name: 'Stop …' }).getAttribute('aria-disabled')).toBe('true');
  });
});
