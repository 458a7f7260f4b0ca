import { Command, Option } from '@commander-js/extra-typings';

import { jsonOption, naturalNumber, positiveInteger, quietOption, setOption } from './options.js';

const seedList = (text: string): number[] => {
  const values = text.split(',').map(naturalNumber);
  return values.length > 1 ? values : Array.from({ length: positiveInteger(text) }, (_, seed) => seed);
};

export const fidelityCommand = (signal: AbortSignal) =>
  new Command('fidelity')
    .description('Fine-tune where the answer is known exactly, and print as JSON how close it came.')
    .requiredOption(
      '--problem <problem>',
      'Solve this problem: overlapping, separated, strong, three, uneven, eight, or a JSON file with a Gaussian ' +
        'mixture and a quadratic reward.',
    )
    .addOption(
      new Option('--algorithm <name>', 'Fine-tune with this algorithm.')
        .choices(['eam', 'am'] as const)
        .default('eam' as const),
    )
    .option('--modes', 'Give eam the term that corrects the weights of modes: algorithm.modes=true.')
    .option('--pretrained-endpoints', "Take eam's endpoints from the pretrained model: algorithm.endpoints=pretrained.")
    .option('--values-only', "Keep the reward's gradient from the algorithm, which then needs one of the two above.")
    .option('--no-oracle', 'Leave out what the same network learns from exact samples.')
    .option('--seeds <n|list>', 'Make this many runs, from seed 0 on, or runs with these seeds: 3,7.', seedList, [0])
    .option('--steps <n>', "Train for this many steps. By default they are the algorithm's own.", positiveInteger)
    .option('--batch <n>', "Take this many samples a step. By default they are the algorithm's own.", positiveInteger)
    .option(
      '--evaluate-every <n>',
      "Measure a point of the curve after every so many steps. By default they are the algorithm's own.",
      positiveInteger,
    )
    .addOption(setOption('algorithm.C=2 or network.width=128'))
    .addOption(jsonOption('Print the JSON on one line.'))
    .addOption(quietOption('Print nothing but the JSON and errors.'))
    .action(async ({ problem, algorithm, modes, pretrainedEndpoints, set, json, quiet, ...named }) => {
      const { fidelity } = await import('../jobs/fidelity/fidelity.js');
      const { readProblem } = await import('../jobs/fidelity/problem.js');
      const { settingsFor } = await import('../jobs/fidelity/settings.js');
      const { fidelityTable } = await import('../jobs/fidelity/table.js');
      const { observe, silent } = await import('../jobs/progress.js');
      const result = await fidelity({
        problem: await readProblem(problem),
        settings: settingsFor(algorithm, named, [
          ...(modes ? ['algorithm.modes=true'] : []),
          ...(pretrainedEndpoints ? ['algorithm.endpoints=pretrained', 'algorithm.endpointsPerPrompt=8192'] : []),
          ...set,
        ]),
        observer: quiet ? silent : observe(),
        signal,
      });
      if (!quiet) process.stderr.write(`${fidelityTable(result)}\n`);
      process.stdout.write(`${JSON.stringify(result, null, json ? undefined : 2)}\n`);
    });
