import { pretrain } from '../jobs/pretrain/pretrain.js';
import { readJob, type JobFlags } from './job.js';

export async function runPretrain(path: string, flags: JobFlags, signal: AbortSignal): Promise<void> {
  const { config, options } = await readJob(path, 'recipe.json', flags, signal);
  await pretrain(config, options);
}
