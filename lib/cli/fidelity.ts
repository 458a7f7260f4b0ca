import { Command, Option } from '@commander-js/extra-typings';

import { fraction, jsonOption, naturalNumber, positiveInteger, quietOption, setOption } from './options.js';

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
    .addOption(
      new Option(
        '--pretrained-endpoints',
        "Take eam's endpoints from the pretrained model: algorithm.endpoints=pretrained.",
      ).conflicts('modes'),
    )
    .addOption(
      new Option(
        '--values-only [share]',
        "Keep the reward's gradient, or that of a share of it in [0, 1], from the algorithm, which then needs one of " +
          'the two above. Without a share it is all of it. By default it is none of it.',
      )
        .argParser(fraction)
        .preset('1'),
    )
    .option('--no-oracle', 'Leave out what the same network learns from exact samples.')
    .option(
      '--picture <file>',
      'Draw into this SVG, for a problem of two dimensions, the densities of the pretrained model, the exact target, ' +
        'and what EAM, EAM with modes and AM train, of which the other two are run as well.',
    )
    .addOption(
      new Option('--seeds <n|list>', 'Make this many runs, from seed 0 on, or runs with these seeds: 3,7.')
        .argParser(seedList)
        .default([0], 'one run, with the seed 0'),
    )
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
    .action(async ({ problem, algorithm, modes, pretrainedEndpoints, set, json, quiet, picture, ...named }) => {
      const { readProblem } = await import('../jobs/fidelity/problem.js');
      const { fidelityAsked, fidelityPicture } = await import('../jobs/fidelity/picture/picture.js');
      const { fidelityTable } = await import('../jobs/fidelity/table.js');
      const { observe, silent } = await import('../jobs/progress.js');
      const variant = modes ? 'modes' : pretrainedEndpoints ? 'pretrained' : 'plain';
      const asked = { algorithm, variant, named, set } as const;
      const options = { problem: await readProblem(problem), observer: quiet ? silent : observe(), signal };
      const result = await (picture === undefined
        ? fidelityAsked(asked, options)
        : fidelityPicture(picture, asked, options));
      if (!quiet) process.stderr.write(`${fidelityTable(result)}\n`);
      process.stdout.write(`${JSON.stringify(result, null, json ? undefined : 2)}\n`);
    });
