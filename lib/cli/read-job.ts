import { stat } from 'node:fs/promises';
import { join } from 'node:path';

import type { JobOptions } from '../jobs/options.js';
import { observe, silent } from '../jobs/progress.js';
import { applyOverrides, readJson } from '../schema/json.js';

/** What `jobCommand` gives to its action. */
interface JobFlags {
  set: string[];
  output?: string | undefined;
  resume?: true | undefined;
  quiet?: true | undefined;
}

/**
 * A job's configuration and options from its command line.
 * @param path a configuration file, or a run's directory: its `record` is read, and it is written to again
 */
export async function readJob(
  path: string,
  record: string,
  flags: JobFlags,
  signal: AbortSignal,
): Promise<{ config: unknown; options: JobOptions }> {
  const isRun = await isDirectory(path);
  const settings = [...flags.set];
  const output = flags.output ?? (isRun && flags.resume ? path : undefined);
  if (output !== undefined) settings.push(`output=${JSON.stringify(output)}`);
  return {
    config: applyOverrides(await readJson(isRun ? join(path, record) : path), settings),
    options: { signal, observer: flags.quiet ? silent : observe(), resume: flags.resume ?? false },
  };
}

/** A configuration as `--set` changes it, from its file or from the config.json of a run's directory. */
export async function readConfig(path: string, settings: readonly string[]): Promise<unknown> {
  return applyOverrides(await readJson((await isDirectory(path)) ? join(path, 'config.json') : path), settings);
}

async function isDirectory(path: string): Promise<boolean> {
  return stat(path).then(
    (entry) => entry.isDirectory(),
    () => false,
  );
}
