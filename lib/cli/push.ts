import { Command } from '@commander-js/extra-typings';

import { quietOption } from './options.js';

export const pushCommand = (signal: AbortSignal) =>
  new Command('push')
    .description(
      'Upload an adapter to the Hugging Face hub with a model card: base model, settings, rewards, metrics and ' +
        'grids. The licence is left to you. HF_TOKEN is a token that may write.',
    )
    .argument('<adapter>', "An adapter's directory, or a run's: of that, the newest checkpoint.")
    .argument('<name>', 'The repository, user/name; it is made where it is not there.')
    .option(
      '--base <name>',
      'Name this model of the hub, user/name, as the base. By default it is what the adapter names.',
    )
    .option('--public', 'Let everybody see a new repository. By default it is private.')
    .option('--message <text>', 'Give the commit this title. By default it says that an adapter is uploaded.')
    .addOption(quietOption())
    .action(async (adapter, name, { quiet, ...options }) => {
      const { pushAdapter } = await import('../jobs/hub/push.js');
      const report = (line: string) => void (quiet || process.stderr.write(`${line}\n`));
      const { url } = await pushAdapter(adapter, name, { ...options, signal, report });
      process.stdout.write(`${url}\n`);
    });
