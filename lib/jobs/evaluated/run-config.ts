import { join } from 'node:path';

import { ConfigError } from '../../errors.js';
import { readRecord } from '../run-record.js';
import { readFinetuneConfig, type FinetuneSettings } from '../settings/finetune.js';

/**
 * Reads the configuration of a finetune run.
 * @param path the run's directory
 * @throws ConfigError for a run without rewards, and where there is no record of one
 */
export async function readRunConfig(path: string): Promise<FinetuneSettings> {
  const record = await readRecord(path, 'config.json');
  if (typeof record === 'object' && record !== null && 'teacher' in record)
    throw new ConfigError(
      `${path} is a distillation's run, which has no rewards: name some for what its adapter draws, as in ` +
        `eam evaluate --adapter ${path} --prompts FILE --reward NAME`,
    );
  return readFinetuneConfig(record, join(path, 'config.json'));
}
