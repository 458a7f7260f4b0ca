// How smoothly a live page draws a long run, which only a clock can tell.
import { setTimeout as sleep } from 'node:timers/promises';
import { join } from 'node:path';

import { expect, it } from 'vitest';

import { findRuns } from '../../lib/jobs/serve/run-folder.js';
import { PageServer } from '../../lib/jobs/serve/page-server.js';
import { RunSite } from '../../lib/jobs/serve/run-site.js';
import { chromiumPath, TestBrowser } from '../helpers/browser.js';
import { append, logged, writeRun } from '../helpers/run-folder.js';
import { temporaryFolder } from '../helpers/tiny-run.js';

/** Takes down how long it is between two frames, in ms, and each task that kept the page from drawing for 50 ms. */
const watchFrames = `
  globalThis.frames = [];
  globalThis.tasks = [];
  let last;
  requestAnimationFrame(function next(now) {
    if (last !== undefined) frames.push(now - last);
    last = now;
    requestAnimationFrame(next);
  });
  new PerformanceObserver((list) => tasks.push(...list.getEntries().map(({ duration }) => duration)))
    .observe({ type: 'longtask' });`;

it.skipIf(!chromiumPath)(
  'a live page of 10 000 steps draws a further hundred without a frame that is late',
  async () => {
    const steps = 10_000;
    const run = writeRun(join(temporaryFolder(), 'long'), { steps, config: { steps: 2 * steps } });
    const site = new RunSite(
      () => findRuns(run),
      () => {},
    );
    const { server, url } = await PageServer.start(site, { port: 0, token: 'token-of-this-check' }, () => {});
    await using browser = await TestBrowser.start();
    const { page } = await browser.open(url);
    await page.getByText(`step ${steps} of ${2 * steps}`).waitFor();
    await page.evaluate(watchFrames);
    for (let step = steps + 1; step <= steps + 100; step++) {
      append(run, logged(step));
      await sleep(100);
    }
    await page.getByText(`step ${steps + 100} of ${2 * steps}`).waitFor();
    const { frames, tasks } = await page.evaluate<{ frames: number[]; tasks: number[] }>('({ frames, tasks })');
    frames.sort((a, b) => a - b);
    const quantile = (share: number) => frames[Math.floor(share * (frames.length - 1))]!.toFixed(1);
    console.log(
      `${frames.length} frames: median ${quantile(0.5)} ms, 99 % ${quantile(0.99)} ms, longest ${quantile(1)} ms; ` +
        `tasks of 50 ms and more: ${tasks.map(Math.round).join(', ') || 'none'}`,
    );
    await Promise.all([site.close(), server.close()]);
    expect(tasks).toEqual([]);
  },
);
