import { allowOption } from './options.js';
import { jobCommand } from './job-command.js';

export const finetuneCommand = (signal: AbortSignal) =>
  jobCommand('finetune', "Fine-tune a model's adapter towards rewards, and write a report.")
    .addOption(allowOption())
    .action(async (path, flags) => {
      const { readJob } = await import('./read-job.js');
      const { finetune } = await import('../jobs/finetune/finetune.js');
      const { evaluationText } = await import('../jobs/report/evaluation-table.js');
      const { config, options } = await readJob<Parameters<typeof finetune>[0]>(path, 'config.json', flags, signal);
      const { evaluation } = await finetune(config, options);
      if (evaluation && !flags.quiet) process.stdout.write(`${evaluationText(evaluation)}\n`);
    });
