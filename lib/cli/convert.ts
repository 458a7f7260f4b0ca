import { Command } from '@commander-js/extra-typings';

import { quietOption } from './options.js';

export const convertCommand = () =>
  new Command('convert')
    .description(
      'Write the tensors of a .pt or .pth file as safetensors; nothing in the file is run. Or write a model that ' +
        "is a single .safetensors file, as ComfyUI reads them, as a directory in diffusers' layout.",
    )
    .argument('<file>', 'A dictionary of tensors that torch.save wrote, or the single file of a model.')
    .argument('<out>', 'The .safetensors, or the directory, to write.')
    .option(
      '--base <model>',
      'Take what a single file lacks from this model: its directory, or user/name of the hub where it is in the cache.',
    )
    .option('--force', 'Overwrite it where it is there.')
    .addOption(quietOption())
    .action(async (file, out, { force = false, base, quiet }) => {
      const { unpack } = await import('../jobs/unpack.js');
      if (file.endsWith('.safetensors')) {
        const { unpacked, shared } = await unpack(file, out, base);
        const others = shared.length ? `; ${shared.join(', ')} from ${base}` : '';
        const line = `${out}: ${unpacked.join(', ')} from ${file}${others}`;
        if (!quiet) process.stderr.write(`${line}\n`);
        return;
      }
      const { convert } = await import('../jobs/convert.js');
      const { tensors, parameters } = await convert(file, out, { force });
      if (!quiet) process.stderr.write(`${out}: ${tensors} tensors, ${parameters} numbers\n`);
    });
