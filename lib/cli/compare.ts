import { jobCommand } from './job-command.js';
import { allowOption, positiveInteger } from './options.js';

export const compareCommand = (signal: AbortSignal) =>
  jobCommand('compare', 'Fine-tune with several algorithms over several seeds, and report what each reward cost.', {
    resume: 'Keep the runs that are finished in the output directory.',
  })
    .option(
      '--seeds <n>',
      "Run every algorithm with the seeds 1 to n. By default they are the configuration's.",
      positiveInteger,
    )
    .addOption(allowOption())
    .action(async (path, { seeds, ...flags }) => {
      const { readJob } = await import('./read-job.js');
      const { compare } = await import('../jobs/compare/compare.js');
      const list = Array.from({ length: seeds ?? 0 }, (_, index) => index + 1);
      const set = seeds === undefined ? flags.set : [...flags.set, `seeds=${JSON.stringify(list)}`];
      const { config, options } = await readJob<Parameters<typeof compare>[0]>(
        path,
        'config.json',
        { ...flags, set },
        signal,
      );
      const { summary } = await compare(config, options);
      if (!flags.quiet) process.stdout.write(summary);
    });
