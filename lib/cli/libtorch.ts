import { Command } from '@commander-js/extra-typings';

import { variantOption } from './options.js';

export const libtorchCommand = () =>
  new Command('libtorch')
    .description(
      "Fetch a LibTorch into the cache, with python3's pip, and print its folder; compile nothing. After a cut the " +
        'same command keeps the wheels that are whole.',
    )
    .addOption(variantOption('Fetch a build for the CPU or for CUDA.'))
    .action(async ({ variant }) => {
      const { fetchIntoCache } = await import('../jobs/build/fetch-into-cache.js');
      const directory = await fetchIntoCache(variant, (line) => void process.stderr.write(`${line}\n`));
      process.stdout.write(`${directory}\n`);
    });
