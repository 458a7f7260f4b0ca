import { z } from 'zod';

import type { JobOptions } from '../options.js';
import { LiveRun } from './live-run.js';
import { isLoopback, hostOf, serveShape, type ServeOptions } from './serve-options.js';
import { PageServer } from './page-server.js';
import { RunSite } from './run-site.js';

/** The options of a job that can be watched while it runs. */
export interface Served {
  /** Serves a page that shows the run while it goes on; `true` is all defaults. Left out: none is served. */
  serve?: boolean | ServeOptions | undefined;
}

/** The schema that checks {@link Served}. */
export const serveSchema = z.union([z.boolean(), z.strictObject(serveShape).partial()]);

/**
 * Does a job's work and, where its options ask for that, serves its page meanwhile. The page may stop the work: the
 * signal that it is given is then aborted. What goes wrong with the page is a note, and no more.
 * @throws ConfigError where the page cannot be served as asked; what the work throws
 */
export async function withLivePage<Result>(
  { serve, ...options }: JobOptions & Served,
  work: (options: JobOptions, live: LiveRun | undefined) => Promise<Result>,
): Promise<Result> {
  if (serve === undefined || serve === false) return work(options, undefined);
  const live = new LiveRun(options.observer);
  const { note } = live.observer;
  const site = new RunSite(async () => live.listed(), note, live);
  const asked = serve === true ? {} : serve;
  let server: PageServer | undefined;
  try {
    const started = await PageServer.start(site, asked, note);
    server = started.server;
    tellAddress(started.url, asked, note);
    const signal = options.signal ? AbortSignal.any([options.signal, live.signal]) : live.signal;
    return await work({ ...options, observer: live.observer, signal }, live);
  } finally {
    await Promise.all([site.close(), server?.close()]);
  }
}

/** Tells where a page is, and who can see it. */
export function tellAddress(url: string, options: ServeOptions, note: (line: string) => void): void {
  const { onAddress = (address: string) => note(`live page: ${address}`) } = options;
  onAddress(url);
  if (isLoopback(hostOf(options))) return;
  note('whoever has this address can see the page and use its buttons; what is sent is not encrypted');
}
