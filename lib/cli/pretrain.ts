import { allowOption } from './options.js';
import { jobCommand } from './job-command.js';

export const pretrainCommand = (signal: AbortSignal) =>
  jobCommand('pretrain', 'Train a model or a classifier from scratch.')
    .addOption(allowOption())
    .action(async (path, flags) => {
      const { readJob } = await import('./read-job.js');
      const { pretrain } = await import('../jobs/pretrain/pretrain.js');
      const { config, options } = await readJob<Parameters<typeof pretrain>[0]>(path, 'recipe.json', flags, signal);
      await pretrain(config, options);
    });
