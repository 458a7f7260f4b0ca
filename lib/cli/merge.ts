import { Command, Option } from '@commander-js/extra-typings';

import { modelOption, quietOption } from './options.js';

export const mergeCommand = () =>
  new Command('merge')
    .description('Fold an adapter into a copy of its model.')
    .addOption(modelOption('the one that the adapter was trained on'))
    .requiredOption(
      '--adapter <directory>',
      "Fold in this adapter: a directory in PEFT's layout or diffusers', or a file for diffusers, kohya's sd-scripts " +
        "or ComfyUI, or its name on the hub, user/name, once it is fetched. Of a run's directory it is " +
        'the newest checkpoint.',
    )
    .addOption(
      new Option(
        '--for <program>',
        "Write a directory as the model's is, or for ComfyUI one file of the network that draws and the autoencoder, " +
          'without text encoders.',
      )
        .choices(['diffusers', 'comfyui'] as const)
        .default('diffusers' as const),
    )
    .requiredOption(
      '--out <path>',
      'Write the copy into this directory, or for ComfyUI into this file, NAME.safetensors; it must be new.',
    )
    .addOption(quietOption())
    .action(async ({ model, adapter: path, out, for: layout, quiet }) => {
      const { mergeAdapter } = await import('../jobs/merge/merge.js');
      const { adapterDirectory } = await import('../jobs/run-directory.js');
      const { adapterNote } = await import('../models/adapters/adapter.js');
      const note = (message: string | undefined) => void (quiet || !message || process.stderr.write(`${message}\n`));
      const directory = await adapterDirectory(path, (error) => note(`passed over: ${error.message}`));
      const { adapter, modules } = await mergeAdapter({ model, adapter: directory, out, for: layout });
      note(adapterNote(directory, adapter));
      note(`${out}: ${modules.length} layers with ${adapter.alpha}/${adapter.rank} of the adapter`);
    });
