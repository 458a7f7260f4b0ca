import { Command, Option } from '@commander-js/extra-typings';

import { quietOption } from './options.js';

export const exportCommand = () =>
  new Command('export')
    .description('Copy an adapter into the layout that another program reads.')
    .argument('<adapter>', "An adapter's directory or file, or a run's directory: of that, the newest checkpoint.")
    .argument('<out>', 'The directory to write, or for kohya and comfyui the file, NAME.safetensors; it must be new.')
    .addOption(
      new Option(
        '--for <program>',
        "Write what this reads: diffusers' pipeline.load_lora_weights, peft, kohya's trainers (sd-scripts, " +
          'musubi-tuner) or ComfyUI.',
      )
        .choices(['diffusers', 'peft', 'kohya', 'comfyui'] as const)
        .default('diffusers' as const),
    )
    .option(
      '--model <model>',
      'Take the names of layers for kohya and ComfyUI from this model, where the adapter does not tell: its ' +
        'directory, user/name of the hub, or the name of a published one, as eam plan --like takes it.',
    )
    .addOption(quietOption())
    .action(async (path, out, { for: layout, model, quiet }) => {
      const { adapterDirectory } = await import('../jobs/run-directory.js');
      const { exportAdapter } = await import('../models/adapter-files.js');
      const { adapterNote } = await import('../models/adapters/adapter.js');
      const { diffusersNote } = await import('../models/adapters/diffusers.js');
      const note = (message: string | undefined) => void (quiet || !message || process.stderr.write(`${message}\n`));
      const place = await adapterDirectory(path, (error) => note(`passed over: ${error.message}`));
      const adapter = await exportAdapter(place, out, layout, { model });
      note(adapterNote(place, adapter));
      if (layout === 'diffusers') note(diffusersNote(out, adapter));
      note(out);
    });
