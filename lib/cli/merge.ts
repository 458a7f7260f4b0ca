import { Command } from '@commander-js/extra-typings';

import { modelOption, quietOption } from './options.js';

export const mergeCommand = () =>
  new Command('merge')
    .description('Fold an adapter into a copy of its model.')
    .addOption(modelOption('the one that the adapter was trained on'))
    .requiredOption(
      '--adapter <directory>',
      "Fold in this adapter, in PEFT's layout or diffusers'. Of a run's directory it is the newest checkpoint.",
    )
    .requiredOption('--out <directory>', 'Write the copy into this directory, which must be new.')
    .addOption(quietOption())
    .action(async ({ model, adapter: path, out, quiet }) => {
      const { mergeAdapter } = await import('../jobs/merge.js');
      const { adapterDirectory } = await import('../jobs/run-directory.js');
      const { adapterNote } = await import('../models/adapters/adapter.js');
      const note = (message: string | undefined) => void (quiet || !message || process.stderr.write(`${message}\n`));
      const directory = await adapterDirectory(path, (error) => note(`passed over: ${error.message}`));
      const { adapter, modules } = await mergeAdapter({ model, adapter: directory, out });
      note(adapterNote(directory, adapter));
      note(`${out}: ${modules.length} layers with ${adapter.alpha}/${adapter.rank} of the adapter`);
    });
