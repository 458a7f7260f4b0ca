import { join } from 'node:path';

import { readJson } from '../../schema/json.js';
import type { RecordedIn } from '../device.js';
import type { FinetuneSettings } from '../settings/finetune.js';

/**
 * The settings of a run, with what its plan chose when it began, for a GPU's free memory: a resumed run computes its
 * rollouts in the same parts and scores the same slices of images, and so comes to the same last bit, whatever is free
 * now.
 */
export async function withRecordedChoices(
  settings: FinetuneSettings,
  { resume, output, record }: Pick<RecordedIn, 'resume' | 'output' | 'record'>,
): Promise<FinetuneSettings> {
  if (!resume) return settings;
  const recorded = (await readJson(join(output, record)).catch(() => undefined)) as
    | Partial<FinetuneSettings>
    | undefined;
  const { algorithm, adapter } = settings;
  const rolloutBatch = algorithm.rolloutBatch ?? recorded?.algorithm?.rolloutBatch;
  const decodeSlice = algorithm.decodeSlice ?? recorded?.algorithm?.decodeSlice;
  const fold = adapter?.fold ?? recorded?.adapter?.fold;
  return {
    ...settings,
    algorithm: {
      ...algorithm,
      ...(rolloutBatch !== undefined && { rolloutBatch }),
      ...(decodeSlice !== undefined && { decodeSlice }),
    },
    adapter: adapter && { ...adapter, ...(fold !== undefined && { fold }) },
  };
}
