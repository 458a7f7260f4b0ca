import { OutOfMemoryError } from '../../errors.js';
import type { FinetuneSettings } from '../settings/finetune.js';
import { bytesText } from '../text.js';
import { rolloutText } from './choose-rollout.js';
import { decodingText } from './decode-slice.js';
import { deviceMemory, type DeviceMemory } from './device-memory.js';
import { refuseFull } from './disk.js';
import { freeMemory } from './free-memory.js';
import { needed, planFor, type Plan } from './plan.js';

/**
 * Refuses a device that is too small for a plan.
 * @throws OutOfMemoryError with the numbers
 */
export function refuseSmall(planned: Plan, { free, total }: DeviceMemory): void {
  const bytes = needed(planned);
  if (!planned.memory || bytes <= free) return;
  const { name, less } = planned.memory.peak;
  throw new OutOfMemoryError(
    `${planned.device} is too small: the plan needs ${bytesText(bytes)}, most of it while ${name}, and ` +
      `${bytesText(free)} of ` +
      `${bytesText(total)} are free. Less is needed there with ${less.join('; ')}. \`eam plan\` shows what each ` +
      'phase takes',
  );
}

/**
 * Refuses a job, before it loads or writes anything, whose weights are not there, or whose GPU or disk is too small; a
 * CPU that is too small only `eam plan` refuses: its memory can be swapped.
 * @param resumes whether it goes on, with most of its files written
 * @param onNote told how the rollout is computed, where a GPU's free memory decides that, and that images are decoded
 *   in slices, where the plan does
 * @returns the settings with both filled in
 * @throws CheckpointError, ConfigError, OutOfMemoryError
 */
export async function checkFinetune(
  config: FinetuneSettings,
  { resumes = false, onNote }: { resumes?: boolean | undefined; onNote: (line: string) => void },
): Promise<FinetuneSettings> {
  const { planned, settings } = await planFor(config, { free: await freeMemory(config.device) });
  if (config.device !== 'cpu') refuseSmall(planned, await deviceMemory(config.device));
  if (!resumes) refuseFull(planned.disk);
  const { rollout, decodeSlice } = planned;
  if (rollout?.chosenFor !== undefined) onNote(rolloutText(rollout));
  if (config.algorithm.decodeSlice === undefined && decodeSlice) onNote(decodingText(decodeSlice));
  return settings;
}
