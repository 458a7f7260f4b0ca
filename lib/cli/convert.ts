import { Command } from '@commander-js/extra-typings';

import { quietOption } from './options.js';

export const convertCommand = () =>
  new Command('convert')
    .description('Write the tensors of a .pt or .pth file as safetensors; nothing in the file is run.')
    .argument('<file>', 'A dictionary of tensors that torch.save wrote.')
    .argument('<out>', 'The .safetensors to write.')
    .option('--force', 'Overwrite it where it is there.')
    .addOption(quietOption())
    .action(async (file, out, { force = false, quiet }) => {
      const { convert } = await import('../jobs/convert.js');
      const { tensors, parameters } = await convert(file, out, { force });
      if (!quiet) process.stderr.write(`${out}: ${tensors} tensors, ${parameters} numbers\n`);
    });
