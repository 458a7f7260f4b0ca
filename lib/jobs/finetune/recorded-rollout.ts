import { join } from 'node:path';

import { readJson } from '../../schema/json.js';
import type { RecordedIn } from '../device.js';
import type { FinetuneSettings } from '../settings/finetune.js';

/**
 * The settings of a run, with what was chosen for a GPU's free memory when it began: a resumed run computes its
 * rollouts in the same parts, and so to the same last bit, whatever is free now.
 */
export async function withRecordedRollout(
  settings: FinetuneSettings,
  { resume, output, record }: Pick<RecordedIn, 'resume' | 'output' | 'record'>,
): Promise<FinetuneSettings> {
  if (!resume) return settings;
  const recorded = (await readJson(join(output, record)).catch(() => undefined)) as
    | Partial<FinetuneSettings>
    | undefined;
  const rolloutBatch = settings.algorithm.rolloutBatch ?? recorded?.algorithm?.rolloutBatch;
  const fold = settings.adapter?.fold ?? recorded?.adapter?.fold;
  const { algorithm, adapter } = settings;
  return {
    ...settings,
    algorithm: { ...algorithm, ...(rolloutBatch !== undefined && { rolloutBatch }) },
    adapter: adapter && { ...adapter, ...(fold !== undefined && { fold }) },
  };
}
