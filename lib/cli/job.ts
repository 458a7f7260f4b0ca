import { stat } from 'node:fs/promises';
import { join } from 'node:path';

import { applyOverrides, readJson } from '../schema/json.js';
import type { JobOptions } from '../jobs/pretrain/pretrain.js';
import { observe, silent } from '../jobs/progress.js';

export interface JobFlags {
  set: string[];
  output?: string;
  resume?: boolean;
  quiet?: boolean;
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
  const isRun = await stat(path).then(
    (entry) => entry.isDirectory(),
    () => false,
  );
  const config = await readJson(isRun ? join(path, record) : path);
  const settings = [...flags.set];
  const output = flags.output ?? (isRun && flags.resume ? path : undefined);
  if (output !== undefined) settings.push(`output=${JSON.stringify(output)}`);
  return {
    config: applyOverrides(config, settings),
    options: { signal, observer: flags.quiet ? silent : observe(), resume: flags.resume ?? false },
  };
}
