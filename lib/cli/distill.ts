import { existsSync } from 'node:fs';

import { CheckpointError } from '../errors.js';
import { jobCommand } from './job-command.js';
import { allowOption, atLeastZero, repeatable } from './options.js';

export const distillCommand = (signal: AbortSignal) =>
  jobCommand('distill', "Train an adapter on a model's own guided samples, so that it draws them without guidance.", {
    config:
      'A model (a directory, a name on the hub, user/name, or the name of one that comes with the package), a ' +
      'configuration in JSON, TypeScript or JavaScript, or the directory of a run.',
  })
    .option(
      '--guidance <w>',
      'Learn what this weight of classifier-free guidance draws. ' +
        "By default it is the configuration's, or the model's own.",
      atLeastZero,
    )
    .addOption(repeatable('--prompt <text>', 'Learn to draw this.'))
    .option(
      '--prompts <file>',
      'Learn to draw these prompts, one a line, in JSON or a column of CSV, after those of --prompt. ' +
        "By default they are the configuration's.",
    )
    .addOption(allowOption())
    .action(async (path, { guidance, prompt, prompts, ...flags }) => {
      const { readJob } = await import('./read-job.js');
      const { distill } = await import('../jobs/distill/distill.js');
      const { fetchHint, placeOf } = await import('../files/hub-cache.js');
      const { namesModel } = await import('../models/registry.js');
      const { likenessTable } = await import('../jobs/distill/likeness.js');
      const { readPrompts } = await import('../schema/prompts.js');
      const asked = [...prompt, ...(prompts === undefined ? [] : readPrompts(prompts))];
      const set = [
        ...(guidance === undefined ? [] : [`teacher.guidance=${guidance}`]),
        ...(asked.length ? [`prompts=${JSON.stringify(asked)}`] : []),
        ...flags.set,
      ];
      const isModel = await namesModel(path);
      if (!isModel && !existsSync(placeOf(path)))
        throw new CheckpointError(`there is no model and no configuration at ${path}${fetchHint(path)}`);
      const { config, options } = await readJob<Parameters<typeof distill>[0]>(
        path,
        'config.json',
        { ...flags, set },
        signal,
        isModel,
      );
      const { likeness } = await distill(config, options);
      if (likeness && !flags.quiet) process.stdout.write(`${likenessTable(likeness)}\n`);
    });
