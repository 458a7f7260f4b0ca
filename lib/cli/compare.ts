import { compare } from '../jobs/compare/compare.js';
import { readJob, type JobFlags } from './job.js';

export interface CompareFlags extends JobFlags {
  /** How many: 1 to this number. */
  seeds?: number;
}

export async function runCompare(path: string, { seeds, ...flags }: CompareFlags, signal: AbortSignal): Promise<void> {
  const set =
    seeds === undefined
      ? flags.set
      : [...flags.set, `seeds=${JSON.stringify(Array.from({ length: seeds }, (_, index) => index + 1))}`];
  const { config, options } = await readJob(path, 'config.json', { ...flags, set }, signal);
  const { summary } = await compare(config, options);
  if (!flags.quiet) process.stdout.write(summary);
}
