import { Command } from '@commander-js/extra-typings';

import { quietOption, setOption } from './options.js';

/** A command that runs a job from a configuration; what its options say is read by `readJob`. */
export const jobCommand = (
  name: string,
  description: string,
  {
    resume = 'Go on from the newest whole checkpoint in the output directory.',
    config = 'A configuration in JSON, TypeScript or JavaScript, or the directory of a run.',
  } = {},
) =>
  new Command(name)
    .description(description)
    .argument('<config>', config)
    .addOption(setOption('optimizer.learningRate=1e-3'))
    .option(
      '--output <directory>',
      "Write into this directory, which holds nothing yet. By default it is the configuration's.",
    )
    .option('--resume', resume)
    .option('--overwrite', 'Replace the run in the output directory.')
    .addOption(quietOption());
