import { Command } from '@commander-js/extra-typings';

import { positiveInteger, quietOption, variantOption } from './options.js';

export const buildCommand = () =>
  new Command('build')
    .description('Build the native core; find or fetch a LibTorch for it first.')
    .addOption(variantOption('Build for the CPU or for CUDA.'))
    .option(
      '--jobs <n>',
      'Run this many compilers at once. By default they are as many as there are processors.',
      positiveInteger,
    )
    .option('--libtorch <directory>', 'Build against this LibTorch. By default one is searched for.')
    .option(
      '--cuda-architectures <list>',
      "Compile for these GPU architectures, in CMake's notation. By default they are all that are supported.",
    )
    .addOption(quietOption())
    .action(async ({ quiet, ...options }) => {
      const { buildNative } = await import('../jobs/build/native-build.js');
      const report = (line: string) => void (quiet || process.stderr.write(`${line}\n`));
      const { directory, built, seconds } = await buildNative({ ...options, report, rewriteProgress: !quiet });
      report(built ? `built ${directory} in ${seconds.toFixed(1)} s` : `${directory} is up to date`);
    });
