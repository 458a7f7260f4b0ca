import { once } from 'node:events';
import { resolve } from 'node:path';

import { abortSignal, callback, checkOptions, checkText } from '../../schema/options.js';
import { serveShape, type ServeOptions } from './serve-options.js';
import { PageServer } from './page-server.js';
import { findRuns } from './run-folder.js';
import { RunSite } from './run-site.js';
import { tellAddress } from './with-live-page.js';

/** These are the options of {@link serve}. */
export interface ServeFolderOptions extends ServeOptions {
  /** Once it is aborted, the server ends. */
  signal?: AbortSignal | undefined;
  /** Told of what cannot be read, and of the address where `onAddress` is not given. */
  onNote?: ((line: string) => void) | undefined;
}

/**
 * Serves a page of the runs in a folder, or of the folder's own: those that are chosen are shown side by side, and one
 * that goes on is shown as it does. Resolves when the signal was aborted and the server has ended.
 * @throws ConfigError for a folder that is not there, options that are not valid, and a port that is taken
 */
export async function serve(folder: string, options: ServeFolderOptions = {}): Promise<void> {
  checkText(folder, 'folder', 'serve');
  checkOptions({ ...serveShape, signal: abortSignal, onNote: callback }, options, 'serve options');
  const { signal, onNote = () => {}, ...address } = options;
  signal?.throwIfAborted();
  const path = resolve(folder);
  await findRuns(path);
  const site = new RunSite(() => findRuns(path), onNote);
  let server: PageServer | undefined;
  try {
    const started = await PageServer.start(site, address, onNote);
    server = started.server;
    tellAddress(started.url, address, onNote);
    // A server that nobody can end is ended with its process. A signal may have been aborted while this one began.
    if (!signal?.aborted) await (signal ? once(signal, 'abort') : new Promise(() => {}));
  } finally {
    await Promise.all([site.close(), server?.close()]);
  }
}
