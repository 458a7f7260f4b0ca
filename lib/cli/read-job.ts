import { stat } from 'node:fs/promises';

import { ConfigError } from '../errors.js';
import type { Existing } from '../jobs/existing-output.js';
import type { JobOptions } from '../jobs/options.js';
import { observe, silent } from '../jobs/progress.js';
import { belongings, type Belonging } from '../training/belonging.js';
import { expected } from '../schema/validate.js';
import { readRecord } from '../jobs/run-record.js';
import { readConfigFile } from '../jobs/settings/config-file.js';
import { applyOverrides } from '../schema/json.js';

/** What `jobCommand` gives to its action. */
interface JobFlags {
  set: string[];
  output?: string | undefined;
  resume?: true | undefined;
  quiet?: true | undefined;
  overwrite?: true | undefined;
  allow?: string[] | undefined;
}

/**
 * A job's configuration, which the job itself checks, and its options from its command line.
 * @param path a configuration file, or a run's directory: its `record` is read, and it is written to again
 * @param isModel whether `path` is a model instead, for a job that needs no more than its name
 */
export async function readJob<Config>(
  path: string,
  record: string,
  flags: JobFlags,
  signal: AbortSignal,
  isModel = false,
): Promise<{ config: Config; options: JobOptions }> {
  const isRun = !isModel && (await isDirectory(path));
  const settings = [...flags.set];
  const output = flags.output ?? (isRun && flags.resume ? path : undefined);
  if (output !== undefined) settings.push(`output=${JSON.stringify(output)}`);
  return {
    config: applyOverrides(
      isModel ? { model: path } : await (isRun ? readRecord(path, record) : readConfigFile(path)),
      settings,
    ) as Config,
    options: {
      signal,
      observer: flags.quiet ? silent : observe(),
      resume: flags.resume ?? false,
      existing: existingOf(flags),
      allow: flags.allow?.map(belonging),
    },
  };
}

/** A configuration as `--set` changes it, from its file or from the config.json of a run's directory. */
export async function readConfig<Config>(path: string, settings: readonly string[]): Promise<Config> {
  const isRun = await isDirectory(path);
  const config = await (isRun ? readRecord(path, 'config.json') : readConfigFile(path));
  return applyOverrides(config, settings) as Config;
}

/**
 * An output that the command line names is used under that very name or refused. One that only the configuration names
 * gets a number where the folder is there already.
 */
function existingOf({ output, set, resume, overwrite }: JobFlags): Existing {
  if (resume && overwrite) throw new ConfigError(expected('flags', '--resume or --overwrite', 'both'));
  if (overwrite) return 'overwrite';
  return output !== undefined || set.some((setting) => setting.startsWith('output=')) ? 'refuse' : 'number';
}

/** One value of --allow. @throws ConfigError for another word */
export function belonging(word: string): Belonging {
  const known = belongings.find((each) => each === word);
  if (known) return known;
  throw new ConfigError(expected('--allow', `one of ${belongings.join(', ')}`, word));
}

async function isDirectory(path: string): Promise<boolean> {
  return stat(path).then(
    (entry) => entry.isDirectory(),
    () => false,
  );
}
