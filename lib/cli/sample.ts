import { Command, Option } from '@commander-js/extra-typings';

import { shippedModels } from '../models/shipped.js';
import {
  adapterOption,
  deviceOption,
  drawingTypes,
  guidanceOption,
  heightOption,
  modelOption,
  naturalNumber,
  negativeOption,
  positiveInteger,
  quietOption,
  repeatable,
  solverOption,
  stepsOption,
  textLengthOption,
  weightsOption,
  widthOption,
} from './options.js';

export const sampleCommand = (signal: AbortSignal) =>
  new Command('sample')
    .description('Draw images into one PNG, or one each, whose text metadata keeps the settings.')
    .addOption(modelOption(`the one that the adapter was trained on, else "${shippedModels[0]}"`))
    .addOption(weightsOption())
    .addOption(adapterOption())
    .addOption(repeatable('--prompt <text>', 'Draw this.'))
    .option('--prompts <file>', 'Draw these prompts, one a line, in JSON or a column of CSV, after those of --prompt.')
    .addOption(negativeOption('the empty one'))
    .option(
      '--count <n>',
      'Draw this many images, going through the prompts in turn. ' +
        "By default they are the model's own number, or one a prompt.",
      positiveInteger,
    )
    .addOption(widthOption())
    .addOption(heightOption())
    .option(
      '--columns <n>',
      'Put this many images into a row of one PNG. By default the grid is as square as can be.',
      positiveInteger,
    )
    .addOption(stepsOption())
    .addOption(solverOption())
    .addOption(guidanceOption())
    .option('--seed <n>', 'Draw the noise from this seed.', naturalNumber, 0)
    .option(
      '--batch <n>',
      "Draw this many images at a time. By default they are the model's own number.",
      positiveInteger,
    )
    .addOption(textLengthOption())
    .addOption(
      new Option('--dtype <dtype>', 'Compute the network in this type.')
        .choices(drawingTypes)
        .default('float32' as const),
    )
    .addOption(deviceOption('auto'))
    .requiredOption('--out <path>', 'Write this PNG, or into this folder a PNG each.')
    .option('--overwrite', 'Write into a folder that holds images already, and replace those of the same names.')
    .addOption(quietOption())
    .action(async ({ prompt, prompts, quiet, ...settings }) => {
      const { sample } = await import('../jobs/sample/sample.js');
      const { readPrompts } = await import('../schema/prompts.js');
      const onNote = (line: string) => void (quiet || process.stderr.write(`${line}\n`));
      const given = [...prompt, ...(prompts === undefined ? [] : readPrompts(prompts))];
      await sample({ ...settings, prompts: given }, { onNote, signal });
    });
