import { Argument, Command } from '@commander-js/extra-typings';

import { recipeNames } from '../runtime/package.js';
import { confirmer } from './confirm.js';
import { jsonOption, positiveInteger, quietOption, setOption } from './options.js';

export const reproduceCommand = (signal: AbortSignal) =>
  new Command('reproduce')
    .description(
      'Make a published protocol: say what it needs, fine-tune with several seeds, evaluate, and print the row ' +
        'beside the published ones. The same command goes on where it was stopped.',
    )
    .addArgument(recipeArgument())
    .option(
      '--model <model>',
      "Fine-tune this model: its directory, or its name on the hub. By default it is the recipe's, once it is fetched.",
    )
    .option(
      '--rewards <folder>',
      'The published rewards are in this folder, each in a folder of its name. By default they are where eam fetch ' +
        'puts them.',
    )
    .option(
      '--prompts <file>',
      "Evaluate on the prompts in this file: one a line, JSON lines, a list in JSON, or a table's column. By default " +
        "they are the recipe's, which are fetched from the hub.",
    )
    .option('--train-prompts <file>', "Train on the prompts in this file. By default they are the recipe's.")
    .option('--seeds <n>', "Train with so many seeds. By default it is the recipe's number.", positiveInteger)
    .option('--output <folder>', 'Write the runs and the results into this folder. By default it is runs/reproduce.')
    .addOption(setOption('batch=32 or evaluation.steps=20'))
    .option('--dry-run', 'Only say what is needed; fetch and write nothing.')
    .option('--yes', 'Begin hours of work without asking.')
    .addOption(jsonOption())
    .addOption(quietOption('Print no progress.'))
    .action(async (recipe, { quiet, json, ...options }) => {
      const { reproduce } = await import('../jobs/reproduce/reproduce.js');
      const { reproductionText } = await import('../jobs/reproduce/format.js');
      const { observe, silent } = await import('../jobs/progress.js');
      const print = (text: string) => void process.stdout.write(`${text}\n`);
      const reproduction = await reproduce(recipe, {
        ...options,
        signal,
        observer: quiet ? silent : observe(),
        confirm: confirmer(signal),
        onNeeds: (text, needs) => {
          if (!json) print(text);
          else if (options.dryRun) print(JSON.stringify(needs, null, 2));
        },
      });
      if (!reproduction) return;
      print(json ? JSON.stringify(reproduction, null, 2) : `\n${reproductionText(reproduction)}`);
    });

/** Completed by shells; what another name may have meant is said by the job. */
function recipeArgument() {
  const names = recipeNames();
  const argument = new Argument('<recipe>', `The recipe: ${names.join(' or ')}.`);
  argument.argChoices = names;
  return argument;
}
