// The first load of an addon with a LibTorch happens in a process of its own: a binary that ends its process, by a
// signal in a constructor or a file cut short, ends that one. What went well is remembered in the cache.

import { spawnSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import { existsSync, readFileSync, renameSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { basename, join } from 'node:path';

import { packageDirectory, packageVersion } from '../package.js';
import { type Addon, addonFiles, prebuiltProblem } from './addons.js';
import { cacheDirectory, type LibTorch, mainLibrary } from './libtorch.js';
import { neededLibraries } from './needed-libraries.js';
import type { OpenFailure } from './open.js';
import { makeDirectory } from '../make-directory.js';

const milliseconds = 120_000;
const script = join(packageDirectory, 'dist', 'runtime', 'native', 'trial-process.js');

const identity = (path: string): [path: string, size: number, modified: number] => {
  const { size, mtimeMs } = statSync(path);
  return [path, size, mtimeMs];
};

/** Everything whose change makes a pair a new one: also what decides which libraries of others come with it. */
function describePair(addon: Addon, libtorch: LibTorch): string {
  const main = mainLibrary(libtorch.directory, addon.variant);
  const needed = neededLibraries(main).flatMap(({ path }) => (path === undefined ? [] : [path]));
  const files = [...addonFiles.map((name) => join(addon.directory, name)), ...needed, main];
  const { LD_LIBRARY_PATH: searched, LD_PRELOAD: preloaded } = process.env;
  return JSON.stringify({
    package: packageVersion,
    node: process.version,
    libtorch: libtorch.version,
    searched,
    preloaded,
    files: files.map(identity),
  });
}

function recordPath(pair: string): string | undefined {
  const cache = cacheDirectory();
  return cache && join(cache, 'loaded', `${createHash('sha256').update(pair).digest('hex')}.json`);
}

function isRemembered(pair: string): boolean {
  const path = recordPath(pair);
  try {
    return path !== undefined && readFileSync(path, 'utf8') === pair;
  } catch {
    return false;
  }
}

function remember(pair: string): void {
  const path = recordPath(pair);
  if (path === undefined) return;
  const aside = `${path}.${process.pid}`;
  try {
    makeDirectory(join(path, '..'));
    writeFileSync(aside, pair);
    renameSync(aside, path);
  } catch {
    // Without a cache there is a trial in every process, and nothing else is lost.
    try {
      rmSync(aside, { force: true });
    } catch {
      // It was never there.
    }
  }
}

/**
 * A program that bundles Node, or another runtime, would run itself and not our script, which a clone has only once its
 * TypeScript is compiled.
 */
const canTry = (): boolean =>
  (/^node/i.test(basename(process.execPath)) || process.versions['electron'] !== undefined) && existsSync(script);

/**
 * What keeps the addon from being loaded with this LibTorch; undefined where nothing does, or where no process can be
 * had to try it. EAM_TORCH_SKIP_TRIAL=1 goes without one.
 */
export function trial(addon: Addon, libtorch: LibTorch): OpenFailure | undefined {
  let pair: string;
  try {
    pair = describePair(addon, libtorch);
  } catch (error) {
    return { culprit: 'addon', reason: (error as Error).message };
  }
  if (isRemembered(pair)) return undefined;
  const broken = prebuiltProblem(addon);
  if (broken !== undefined) return { culprit: 'addon', reason: broken };
  if (process.env['EAM_TORCH_SKIP_TRIAL'] === '1' || !canTry()) return undefined;

  // Without NODE_OPTIONS: an inspector or a loader of the caller's is not for this process.
  const { NODE_OPTIONS: _, ...environment } = process.env;
  const child = spawnSync(
    process.execPath,
    [script, addon.directory, addon.variant, addon.libtorch, libtorch.directory],
    {
      encoding: 'utf8',
      timeout: milliseconds,
      killSignal: 'SIGKILL',
      env: { ...environment, ELECTRON_RUN_AS_NODE: '1' },
      stdio: ['ignore', 'pipe', 'pipe'],
    },
  );
  const timedOut = (child.error as NodeJS.ErrnoException | undefined)?.code === 'ETIMEDOUT';
  if (child.error && !timedOut) return undefined; // no process to be had: the load itself has to show

  const lines = child.stdout.trim().split('\n').filter(Boolean);
  let last: Partial<OpenFailure> & { loaded?: string } = {};
  try {
    last = JSON.parse(lines.at(-1) ?? '{}') as typeof last;
  } catch {
    // Cut off in the middle of a line.
  }
  if (child.status === 0 && last.loaded !== undefined) {
    remember(pair);
    return undefined;
  }
  if (child.status === 0 && last.reason !== undefined) return last as OpenFailure;

  const during =
    last.loaded === undefined
      ? `loading ${last.culprit === 'libtorch' ? 'LibTorch' : 'it'}`
      : 'leaving after it was loaded';
  const how = timedOut
    ? `had not finished after ${milliseconds / 1000} s`
    : child.signal
      ? `was ended by ${child.signal}`
      : `ended with exit code ${child.status}`;
  const said = child.stderr.trim().split('\n').slice(-3).join(' | ');
  return {
    culprit: last.culprit ?? 'addon',
    reason: `a process that tried it ${how} while ${during}${said ? `: ${said}` : ''}`,
  };
}
