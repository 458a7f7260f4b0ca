import { ConfigError } from '../errors.js';
import { deviceMemory, type DeviceMemory } from '../jobs/plan/device-memory.js';
import { needed, plan, refuseSmall } from '../jobs/plan/plan.js';
import { bytesText, planTable } from '../jobs/plan/table.js';
import { readJob } from './job.js';

interface PlanFlags {
  set: string[];
  device?: string;
  memory?: number;
  json?: boolean;
}

/** Prints what a fine-tuning takes. @throws OutOfMemoryError where the device is too small for it */
export async function runPlan(
  path: string,
  { set, device, memory, json }: PlanFlags,
  signal: AbortSignal,
): Promise<void> {
  const settings = device === undefined ? set : [...set, `device=${JSON.stringify(device)}`];
  const { config } = await readJob(path, 'config.json', { set: settings, quiet: true }, signal);
  const planned = await plan(config);
  const bytes = needed(planned);
  const found =
    memory === undefined ? await memoryOf(planned.device) : { free: memory * 2 ** 30, total: memory * 2 ** 30 };
  if (json) {
    const fits = found ? bytes <= found.free : null;
    process.stdout.write(`${JSON.stringify({ ...planned, needed: bytes, ...found, fits }, null, 2)}\n`);
  } else {
    const place = found
      ? `${bytesText(found.free)} of ${bytesText(found.total)} are free`
      : 'it is not in this machine, --memory says how much it has';
    process.stdout.write(
      `${planTable(planned)}\n${planned.memory ? `\nNeeded on ${planned.device}: ${bytesText(bytes)}; ${place}\n` : ''}`,
    );
  }
  if (found) refuseSmall(planned, found);
}

/** Undefined for a device that is not there: it can be planned for all the same. */
async function memoryOf(device: string): Promise<DeviceMemory | undefined> {
  return deviceMemory(device).catch((error: unknown) => {
    if (error instanceof ConfigError) return undefined;
    throw error;
  });
}
