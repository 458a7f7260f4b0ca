import { Command, Option } from '@commander-js/extra-typings';

import {
  allowOption,
  deviceOverride,
  fraction,
  jsonOption,
  naturalNumber,
  positiveInteger,
  quietOption,
} from './options.js';

export const diffCommand = (signal: AbortSignal) =>
  new Command('diff')
    .description('Show where fine-tuning changed pictures, as heat maps of pairs from the same noise.')
    .argument('<run>', 'The directory of a finetune run, or of a checkpoint in one.')
    .option(
      '--count <n>',
      "Draw this many pairs, going through the run's prompts in turn. By default they are 64.",
      positiveInteger,
    )
    .option('--show <n>', 'Show this many pairs, those that changed most. By default they are 24.', positiveInteger)
    .addOption(
      new Option(
        '--measure <measure>',
        'Draw the maps of the signed change of luminance, or of the distance of the colours.',
      )
        .choices(['luminance', 'color'] as const)
        .default('luminance' as const),
    )
    .option(
      '--scale <s>',
      'Draw changes of this size, in (0, 1], in full colour. By default one pixel in a hundred changed by more.',
      fraction,
    )
    .option(
      '--seed <n>',
      "Draw the noise from this seed. By default it is that of the run's evaluation.",
      naturalNumber,
    )
    .option(
      '--steps <n>',
      "Draw with this many steps. By default they are those of the run's evaluation.",
      positiveInteger,
    )
    .addOption(deviceOverride("the run's"))
    .addOption(allowOption())
    .option('--out <file>', "Write this page, and a PNG beside it. By default it is diff.html in the run's folder.")
    .addOption(jsonOption())
    .addOption(quietOption('Print no progress.'))
    .action(async (run, { quiet, json, allow, ...settings }) => {
      const { diff } = await import('../jobs/diff/diff.js');
      const { diffText } = await import('../jobs/diff/text.js');
      const { observe, silent } = await import('../jobs/progress.js');
      const { belonging } = await import('./read-job.js');
      const observer = quiet ? silent : observe();
      const result = await diff(run, { ...settings, allow: allow.map(belonging), observer, signal });
      process.stdout.write(`${json ? JSON.stringify(result, null, 2) : diffText(result)}\n`);
    });
