// A home of the hub's cache for one test file, and a server to fetch from.
import { lstatSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join, relative } from 'node:path';

import { afterEach, beforeEach, vi } from 'vitest';

import { fetchModel } from '../../lib/jobs/hub/fetch.js';
import type { Fetched, FetchOptions } from '../../lib/jobs/hub/transfer.js';
import { TestHub } from './hub.js';
import { TestPacing } from './service.js';

export interface HubHome {
  hub: TestHub;
  /** A folder of the test's own, which holds `cache`, of the hub, and `own`, of this package. */
  folder: string;
  /** What was reported. */
  lines: string[];
  /** Seconds of the pauses between tries, none of which is waited for. */
  pacing: TestPacing;
  fetch(source: string, options?: FetchOptions): Promise<Fetched>;
}

/** What a test's environment must not have of the machine's own. */
const variables = [
  'HF_TOKEN',
  'HUGGING_FACE_HUB_TOKEN',
  'HF_TOKEN_PATH',
  'HF_HUB_CACHE',
  'HUGGINGFACE_HUB_CACHE',
  'HF_HUB_OFFLINE',
  'TRANSFORMERS_OFFLINE',
  ...['http_proxy', 'https_proxy', 'no_proxy', 'all_proxy'].flatMap((name) => [name, name.toUpperCase()]),
];

/** Starts a hub before each test, with the environment that leads to it. */
export function hubHome(): HubHome {
  const home = { lines: [] as string[] } as HubHome;
  home.fetch = (source, options = {}) =>
    fetchModel(source, { report: (line) => home.lines.push(line), pacing: home.pacing, ...options });
  beforeEach(async () => {
    home.folder = mkdtempSync(join(tmpdir(), 'eam-hub-'));
    home.hub = await TestHub.start();
    home.lines.length = 0;
    home.pacing = new TestPacing({ timeout: -1 });
    for (const name of variables) vi.stubEnv(name, undefined);
    vi.stubEnv('HF_HOME', join(home.folder, 'cache'));
    vi.stubEnv('XDG_CACHE_HOME', join(home.folder, 'own'));
    vi.stubEnv('HF_ENDPOINT', home.hub.url);
  });
  afterEach(async () => {
    vi.unstubAllEnvs();
    await home.hub[Symbol.asyncDispose]();
    rmSync(home.folder, { recursive: true, force: true });
  });
  return home;
}

/** The message of what a promise rejects with. */
export const problemOf = (work: Promise<unknown>): Promise<string> =>
  work.then(
    () => 'it was done',
    (error: unknown) => (error as Error).message,
  );

/** The paths of the files and links below a folder. */
export function below(folder: string): string[] {
  const names = readdirSync(folder, { recursive: true, encoding: 'utf8' });
  return names.filter((name) => !lstatSync(join(folder, name)).isDirectory()).sort();
}

/** Every file below a folder with its bytes. */
export function contents(folder: string): Record<string, Buffer> {
  const files = readdirSync(folder, { recursive: true, encoding: 'utf8' })
    .map((name) => join(folder, name))
    .filter((path) => lstatSync(path).isFile());
  return Object.fromEntries(files.map((path) => [relative(folder, path), readFileSync(path)]));
}

export const emptyFolder = (path: string): string => {
  mkdirSync(path, { recursive: true });
  return path;
};
