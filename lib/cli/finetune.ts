import { evaluationTable } from '../training/evaluation.js';
import { finetune } from '../jobs/finetune/finetune.js';
import { readJob, type JobFlags } from './job.js';

export async function runFinetune(path: string, flags: JobFlags, signal: AbortSignal): Promise<void> {
  const { config, options } = await readJob(path, 'config.json', flags, signal);
  const { evaluation } = await finetune(config, options);
  if (evaluation && !flags.quiet) process.stdout.write(`${evaluationTable(evaluation)}\n`);
}
