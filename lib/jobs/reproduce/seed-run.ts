import { existsSync } from 'node:fs';
import { join, resolve } from 'node:path';
import { isDeepStrictEqual } from 'node:util';

import { CheckpointError, ConfigError } from '../../errors.js';
import { expected } from '../../schema/validate.js';
import { readRunConfig } from '../evaluated/run-config.js';
import { finetune } from '../finetune/finetune.js';
import { withRecordedChoices } from '../finetune/recorded-choices.js';
import type { JobOptions } from '../options.js';
import { RunDirectory } from '../run-directory.js';
import { readStatus } from '../run-status.js';
import type { FinetuneConfig } from '../settings/config.generated.js';
import { readFinetuneConfig } from '../settings/finetune.js';

/** The folder of the run of one seed. */
export const runFolder = (output: string, seed: number): string => join(resolve(output), `seed-${seed}`);

/** Where a seed's run is: not begun, on its way, or finished. */
export type Progress = 'none' | 'begun' | 'finished';

/**
 * Looks how far a run is that this configuration would make.
 * @throws ConfigError where the folder holds a run with other settings, or something else
 */
export async function progressOf(config: FinetuneConfig): Promise<Progress> {
  const output = config.output!;
  if (!existsSync(output)) return 'none';
  if (existsSync(join(output, 'config.json'))) {
    await refuseOther(output, config);
    return (await readStatus(output))?.state === 'finished' ? 'finished' : 'begun';
  }
  const isRun = (await RunDirectory.withoutCheckpoint(output, 'config.json', () => false)) !== undefined;
  if (isRun) return 'begun';
  throw new ConfigError(expected(output, 'a run of this recipe, or nothing', 'something else; name another --output'));
}

/** Trains one seed, from where it was stopped; a run that is finished is left as it is. */
export async function trainSeed(
  config: FinetuneConfig,
  options: Pick<JobOptions, 'signal' | 'observer'>,
): Promise<void> {
  const progress = await progressOf(config);
  if (progress === 'finished') {
    options.observer?.note(`${config.output} is finished`);
    return;
  }
  await finetune(config, { ...options, ...(progress === 'begun' ? { resume: true } : { existing: 'refuse' }) });
}

/**
 * Figures of other settings must not be told as this recipe's. What a run computes on may be another, and what a
 * configuration leaves to the run is what the run has recorded.
 */
async function refuseOther(output: string, config: FinetuneConfig): Promise<void> {
  const recorded = await readRunConfig(output);
  const asked = await readFinetuneConfig(config, output);
  const settled = await withRecordedChoices(asked, { resume: true, output, record: 'config.json' });
  const [there, wanted] = [recorded, { ...settled, decoder: settled.decoder ?? recorded.decoder }].map(
    (settings) => ({ ...settings, device: '', output: '' }) as Record<string, unknown>,
  ) as [Record<string, unknown>, Record<string, unknown>];
  const plain = (value: unknown): unknown => (value === undefined ? undefined : JSON.parse(JSON.stringify(value)));
  const key = [...new Set([...Object.keys(there), ...Object.keys(wanted)])].find(
    (each) => !isDeepStrictEqual(plain(there[each]), plain(wanted[each])),
  );
  if (key === undefined) return;
  const text = (value: unknown) => JSON.stringify(value)?.slice(0, 80) ?? 'none';
  throw new CheckpointError(
    `${expected(`${output}: ${key}`, text(wanted[key]), text(there[key]))}: it is a run with other settings. ` +
      'Name another --output, or give the settings that it was begun with',
  );
}
