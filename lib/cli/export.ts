import { Command, Option } from '@commander-js/extra-typings';

import { quietOption } from './options.js';

export const exportCommand = () =>
  new Command('export')
    .description('Copy an adapter into the layout that other programs read.')
    .argument('<adapter>', "An adapter's directory, or a run's: of that, the newest checkpoint.")
    .argument('<out>', 'The directory to write.')
    .addOption(
      new Option('--layout <name>', "Write diffusers' layout, for pipeline.load_lora_weights, or PEFT's.")
        .choices(['diffusers', 'peft'] as const)
        .default('diffusers' as const),
    )
    .addOption(quietOption())
    .action(async (path, out, { layout, quiet }) => {
      const { adapterDirectory } = await import('../jobs/run-directory.js');
      const { adapterNote, exportAdapter } = await import('../models/adapters/adapter.js');
      const { diffusersNote } = await import('../models/adapters/diffusers.js');
      const note = (message: string | undefined) => void (quiet || !message || process.stderr.write(`${message}\n`));
      const directory = await adapterDirectory(path, (error) => note(`passed over: ${error.message}`));
      const adapter = await exportAdapter(directory, out, layout);
      note(adapterNote(directory, adapter));
      if (layout === 'diffusers') note(diffusersNote(out, adapter));
      note(out);
    });
