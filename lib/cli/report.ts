import { Command } from '@commander-js/extra-typings';

export const reportCommand = () =>
  new Command('report')
    .description('Write a page about a run, or about several side by side, that are finished, running or stopped.')
    .argument('<runs...>', 'The directories of runs of finetune, distill or pretrain.')
    .option(
      '--output <file>',
      "Write the page into this file. By default it is report.html in the run's directory, and for several runs in " +
        'the working directory.',
    )
    .action(async (directories, options) => {
      const { report } = await import('../jobs/report/write-report.js');
      process.stdout.write(`${await report(directories, options)}\n`);
    });
