// Pages in Chromium as people see them. Where there is no Chromium, such tests are skipped.
import { accessSync, constants } from 'node:fs';
import { delimiter, join } from 'node:path';

import { type Browser, type BrowserContextOptions, chromium, type Page } from 'playwright-core';

const names = ['chromium', 'chromium-browser', 'google-chrome'];

/** The first Chromium of the PATH; undefined where it has none. */
export const chromiumPath: string | undefined = (process.env['PATH'] ?? '')
  .split(delimiter)
  .flatMap((folder) => names.map((name) => join(folder, name)))
  .find((path) => {
    try {
      accessSync(path, constants.X_OK);
      return true;
    } catch {
      return false;
    }
  });

/** A page, and what went wrong in it: its errors, what it wrote as errors, and files that it did not get. */
export interface OpenPage {
  page: Page;
  problems: string[];
}

/** A Chromium without a window, until it is disposed of. */
export class TestBrowser implements AsyncDisposable {
  private constructor(private readonly browser: Browser) {}

  static async start(): Promise<TestBrowser> {
    const options = ['--no-sandbox', '--disable-gpu', '--disable-dev-shm-usage'];
    // Nothing is judged by a clock: a busy machine takes its time.
    return new TestBrowser(await chromium.launch({ executablePath: chromiumPath!, args: options, timeout: 0 }));
  }

  /** Opens an address, such as that of a file, in a context of its own. */
  async open(address: string, options: BrowserContextOptions = {}): Promise<OpenPage> {
    const context = await this.browser.newContext({ viewport: { width: 1200, height: 900 }, ...options });
    context.setDefaultTimeout(0);
    const page = await context.newPage();
    const problems: string[] = [];
    page.on('pageerror', (error) => problems.push(error.message));
    page.on('console', (message) => {
      if (message.type() === 'error') problems.push(message.text());
    });
    page.on('requestfailed', (request) => problems.push(`${request.url()}: ${request.failure()?.errorText}`));
    await page.goto(address);
    return { page, problems };
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.browser.close();
  }
}
