// The page of runs in a browser, used by keyboard, and shown other states of its runs.
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { pathToFileURL } from 'node:url';

import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { Page } from 'playwright-core';

import { pageData, type PageData } from '../../lib/jobs/report/page-data.js';
import { readRunView } from '../../lib/jobs/report/run-view.js';
import { report } from '../../lib/jobs/report/write-report.js';
import { chromiumPath, TestBrowser } from '../helpers/browser.js';
import { config, evaluation, grid, runFolder, stepMetrics } from '../helpers/run-folders.js';
import { temporaryFolder } from '../helpers/tiny-run.js';

let browser: TestBrowser;
beforeAll(async () => {
  if (chromiumPath) browser = await TestBrowser.start();
});
afterAll(async () => {
  await browser?.[Symbol.asyncDispose]();
});

const line = (step: number) => JSON.stringify(stepMetrics(step));
const lines = (count: number) => Array.from({ length: count }, (_, at) => line(at + 1));
const source = (shade: number) => `data:image/png;base64,${Buffer.from(grid(shade)).toString('base64')}`;

async function pageOf(...directories: string[]): Promise<string> {
  return pathToFileURL(await report(directories, { output: join(temporaryFolder(), 'page.html') })).href;
}

/** The state of runs that a live page would send. */
async function dataOf(...directories: string[]): Promise<PageData> {
  const views = await Promise.all(directories.map((directory) => readRunView(directory)));
  return pageData(views, async ({ path }) => `data:image/png;base64,${readFileSync(path).toString('base64')}`);
}

/** A script of a page, which these tests do not know the types of. */
const evaluate = <Result>(page: Page, script: string): Promise<Result> => page.evaluate(script);

const figures = (page: Page) =>
  evaluate<{ caption: string; alt: string; src: string }[]>(
    page,
    `[...document.querySelectorAll('.grids figure')].map((figure) => {
      const image = figure.querySelector('img');
      return { caption: figure.textContent.trim(), alt: image.alt, src: image.getAttribute('src') };
    })`,
  );
/** Whether each chart has something drawn on its canvas. */
const drawn = (page: Page) =>
  evaluate<Record<string, boolean>>(
    page,
    `Object.fromEntries([...document.querySelectorAll('[data-chart]')].map((card) => {
      const canvas = card.querySelector('canvas');
      const { data } = canvas.getContext('2d').getImageData(0, 0, canvas.width, canvas.height);
      return [card.dataset.chart, data.some((value) => value > 0)];
    }))`,
  );

describe.skipIf(!chromiumPath)('the page of a run in a browser', () => {
  it('draws its charts and says what they show', async () => {
    const { page, problems } = await browser.open(await pageOf(runFolder({ evaluation })));
    const charts = ['reward', 'rewards/digit-classifier', 'rewards/stroke-weight', 'weightedRewards', 'drift', 'loss'];
    expect(await drawn(page)).toEqual(Object.fromEntries([...charts, 'gradNorm'].map((key) => [key, true])));
    expect(await page.getByRole('img', { name: 'Drift from the pretrained model: from 0.05 to 0.3' }).count()).toBe(1);
    for (const name of ['network evaluations', 'seconds', 'steps']) {
      await page.getByRole('radio', { name }).check({ force: true });
      expect(await page.locator('[data-chart=reward] .u-legend').textContent()).toContain(name);
    }
    expect(problems).toEqual([]);
  });

  it('moves through the grids by keyboard, the pretrained one beside it', async () => {
    const { page, problems } = await browser.open(await pageOf(runFolder()));
    const slider = page.getByRole('slider', { name: 'Step' });
    const at = async (shade: number) => {
      expect(await slider.getAttribute('aria-valuetext')).toBe(`step ${shade}`);
      expect(await page.locator('.stepper output').textContent()).toBe(`step ${shade} of 30`);
      expect(await figures(page)).toEqual([
        { caption: 'Before', alt: 'run, before: a grid of samples', src: source(0) },
        { caption: `Step ${shade}`, alt: `run, step ${shade}: a grid of samples`, src: source(shade) },
      ]);
    };
    await at(30);
    await slider.focus();
    await page.keyboard.press('ArrowLeft');
    await at(20);
    await page.keyboard.press('Home');
    await at(10);
    await page.keyboard.press('ArrowLeft');
    await at(10);
    await page.keyboard.press('ArrowRight');
    await at(20);
    await page.keyboard.press('End');
    await at(30);
    expect(problems).toEqual([]);
  });

  it('shows the first grid and the last without JavaScript', async () => {
    const { page } = await browser.open(await pageOf(runFolder()), { javaScriptEnabled: false });
    const images = page.locator('.grids img');
    expect(await images.count()).toBe(2);
    expect(await images.last().getAttribute('alt')).toBe('run, step 30: a grid of samples');
    expect(await page.getByRole('slider').count()).toBe(0);
  });

  it.each([
    { what: 'a narrow screen', options: { viewport: { width: 340, height: 700 } } },
    { what: 'a dark one', options: { colorScheme: 'dark' as const } },
  ])('fits $what', async ({ options }) => {
    const { page, problems } = await browser.open(await pageOf(runFolder({ evaluation })), options);
    expect(await evaluate<number>(page, 'document.documentElement.scrollWidth - innerWidth')).toBeLessThanOrEqual(0);
    expect(Object.values(await drawn(page))).not.toContain(false);
    const [ink, ground] = await evaluate<[string, string]>(
      page,
      `['color', 'backgroundColor'].map((name) => getComputedStyle(document.body)[name])`,
    );
    const brightness = (colour: string) => Number(/\d+/.exec(colour));
    expect(brightness(ink) > brightness(ground)).toBe(options.colorScheme === 'dark');
    await page.emulateMedia({ media: 'print' });
    expect(await page.getByRole('slider').isVisible()).toBe(false);
    expect(problems).toEqual([]);
  });

  it.each([
    { what: 'nothing done', folder: { lines: [], grids: {} } },
    { what: 'one step', folder: { lines: [line(1)], grids: { 0: grid(0) } } },
    {
      what: 'lines of other types',
      folder: { lines: ['{"step":1,"reward":"x","total":{}}', '{"step":2,"loss":null}'] },
    },
    { what: 'no totals', folder: { lines: ['{"step":1,"loss":3}', '{"step":2,"loss":2}'] } },
  ])('has no error with $what', async ({ folder }) => {
    const { problems } = await browser.open(await pageOf(runFolder(folder)));
    expect(problems).toEqual([]);
  });

  it('draws as many of ten thousand steps as it has pixels for, and all that are zoomed to', async () => {
    const { page, problems } = await browser.open(await pageOf(runFolder({ lines: lines(10_000) })));
    await page.setViewportSize({ width: 1000, height: 900 });
    const { points, width } = await evaluate<{ points: number; width: number }>(
      page,
      `new Promise((resolve) => requestAnimationFrame(() => resolve({
        points: uPlotted('reward').data[0].length, width: uPlotted('reward').width,
      })))`.replaceAll('uPlotted', plotted),
    );
    // Each column of pixels keeps its first and its last point, and the extremes of four columns of numbers.
    expect(points).toBeLessThanOrEqual(10 * (width + 1));
    expect(points).toBeLessThan(10_000);
    expect(points).toBeGreaterThan(width);
    await evaluate(page, `${plotted}('reward').setScale('x', { min: 4000, max: 4100 })`);
    await page.waitForFunction(`${plotted}('reward').data[0].filter((x) => x >= 4000 && x <= 4100).length === 101`);
    expect(problems).toEqual([]);
  });
});

/** The uPlot of a chart, which keeps it with what it draws into. */
const plotted = `((key) => reportPage.plotted(key))`;

describe.skipIf(!chromiumPath)('reportPage.update', () => {
  const extended = { ...config, steps: 60 };
  const status = (state: string) => ({ state, versions: {} });

  it('shows steps, grids, charts and figures that came since', async () => {
    const folder = { config: extended, status: status('stopped') };
    const early = runFolder({ ...folder, lines: lines(4), grids: { 0: grid(0) } });
    const { page, problems } = await browser.open(await pageOf(early));
    expect(await page.getByRole('slider').count()).toBe(0);
    expect(Object.keys(await drawn(page))).not.toContain('drift');
    await evaluate(
      page,
      `window.kept = document.querySelector('[data-chart=loss] canvas'); document.querySelector('details').open = true`,
    );
    const later = await dataOf(runFolder({ ...folder, grids: { 0: grid(0), 10: grid(10), 20: grid(20) } }));
    await page.evaluate(`reportPage.update(${JSON.stringify(later)})`);
    expect(await page.locator('.state').textContent()).toMatch(/^Stopped after 30 of 60 steps/);
    expect(Object.keys(await drawn(page))).toEqual(later.charts.map(({ key }) => key));
    expect(await evaluate<boolean>(page, `kept === document.querySelector('[data-chart=loss] canvas')`)).toBe(true);
    expect(await evaluate<number>(page, `${plotted}('loss').data[0].length`)).toBe(30);
    expect((await figures(page)).map(({ caption }) => caption)).toEqual(['Before', 'Step 20']);
    expect(problems).toEqual([]);
  });

  it('keeps the step that was chosen, and follows the last', async () => {
    const { page } = await browser.open(await pageOf(runFolder({ config: extended })));
    const update = async (...steps: number[]) => {
      const grids = Object.fromEntries(steps.map((step) => [step, grid(step)]));
      await page.evaluate(`reportPage.update(${JSON.stringify(await dataOf(runFolder({ config: extended, grids })))})`);
      return page.getByRole('slider').getAttribute('aria-valuetext');
    };
    expect(await update(0, 10, 20, 30, 40)).toBe('step 40');
    await page.getByRole('slider').focus();
    await page.keyboard.press('ArrowLeft');
    expect(await update(0, 10, 20, 30, 40, 50)).toBe('step 30');
    expect(await page.locator(':focus').getAttribute('id')).toBe('grid-step');
  });

  it('keeps what was zoomed to, and parts that are what they were', async () => {
    const folder = { config: extended, status: status('stopped') };
    const { page } = await browser.open(await pageOf(runFolder(folder)));
    await evaluate(
      page,
      `${plotted}('loss').setScale('x', { min: 5, max: 9 }); document.querySelector('details').open = true`,
    );
    await page.waitForFunction(`${plotted}('loss').scales.x.min === 5`);
    const directory = runFolder({ ...folder, lines: lines(40) });
    await page.evaluate(`reportPage.update(${JSON.stringify(await dataOf(directory))})`);
    await page.evaluate(`reportPage.update(${JSON.stringify(await dataOf(directory))})`);
    await page.waitForFunction(`${plotted}('loss').data[0].length === 40`);
    expect(await evaluate(page, `[${plotted}('loss').scales.x.min, ${plotted}('loss').scales.x.max]`)).toEqual([5, 9]);
    expect(await evaluate<boolean>(page, `document.querySelector('details').open`)).toBe(true);
  });

  it('takes runs that come and go', async () => {
    const [a, b] = [
      runFolder({ name: 'a' }),
      runFolder({ name: 'b', config: extended, grids: { 0: grid(0), 20: grid(7) } }),
    ];
    const { page, problems } = await browser.open(await pageOf(a));
    await page.evaluate(`reportPage.update(${JSON.stringify(await dataOf(a, b))})`);
    expect(await page.locator('#runs li').allTextContents()).toEqual(['a', 'b']);
    expect((await figures(page)).map(({ caption }) => caption)).toEqual(['Before', 'a Step 30', 'b Step 20']);
    expect(await page.getByRole('heading', { name: 'Settings that differ' }).count()).toBe(1);
    await page.evaluate(`reportPage.update(${JSON.stringify(await dataOf(a))})`);
    expect(await page.locator('#runs').isVisible()).toBe(false);
    expect(await figures(page)).toHaveLength(2);
    expect(problems).toEqual([]);
  });
});

describe.skipIf(!chromiumPath)('the page of several runs in a browser', () => {
  it('lays curves over one another and grids beside one another', async () => {
    const other = { ...config, samples: { ...config.samples, seed: 9 } };
    const runs = [
      runFolder({ name: 'a' }),
      runFolder({ name: 'b', config: other, lines: lines(12), grids: { 0: grid(99), 10: grid(110) } }),
    ];
    const { page, problems } = await browser.open(await pageOf(...runs));
    expect(await figures(page)).toMatchObject([
      { caption: 'a Before', src: source(0) },
      { caption: 'a Step 30', src: source(30) },
      { caption: 'b Before', src: source(99) },
      { caption: 'b Step 10', src: source(110), alt: 'b, step 10: a grid of samples' },
    ]);
    expect(await page.locator('[data-chart=loss] .plot').getAttribute('aria-label')).toMatch(
      /^Loss: a from .*; b from /,
    );
    expect(Object.values(await drawn(page))).not.toContain(false);
    await page.getByRole('radio', { name: 'seconds' }).check({ force: true });
    // Where only one of the curves has a point, the legend shows the other curve's nearest point.
    await page.locator('[data-chart=loss] .u-over').hover();
    await page.waitForFunction(`!document.querySelector('[data-chart=loss] .u-legend').textContent.includes('–')`);
    expect(problems).toEqual([]);
  });
});
