import { join } from 'node:path';

import { readJson } from '../schema/json.js';
import { chooseDevice, deviceLine } from '../runtime/device.js';

/** Where a resumed run's device was recorded. */
export interface RecordedIn {
  resume: boolean | undefined;
  output: string;
  /** The file of the run's configuration. */
  record: string;
  onNote: (message: string) => void;
}

/**
 * The device of a job whose configuration says `wanted`. What 'auto' means is said and, since the job records its
 * configuration with it, kept by a resumed run.
 */
export async function jobDevice(wanted: string, { resume, output, record, onNote }: RecordedIn): Promise<string> {
  if (wanted !== 'auto') return wanted;
  const recorded = resume ? await recordedDevice(join(output, record)) : undefined;
  if (recorded !== undefined) {
    onNote(`device: ${recorded} (auto: the run's so far)`);
    return recorded;
  }
  const chosen = chooseDevice(wanted);
  onNote(deviceLine(chosen));
  return chosen.device;
}

async function recordedDevice(path: string): Promise<string | undefined> {
  const json = (await readJson(path).catch(() => undefined)) as { device?: unknown } | undefined;
  return typeof json?.device === 'string' && json.device !== 'auto' ? json.device : undefined;
}
