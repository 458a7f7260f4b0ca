import { Command, Option } from '@commander-js/extra-typings';

import { ConfigError } from '../errors.js';
import {
  adapterOption,
  allowOption,
  deviceOverride,
  drawingTypes,
  guidanceOption,
  heightOption,
  jsonOption,
  modelOption,
  naturalNumber,
  negativeOption,
  positiveInteger,
  quietOption,
  rewardOption,
  solverOption,
  stepsOption,
  textLengthOption,
  weightsOption,
  widthOption,
} from './options.js';

export const evaluateCommand = (signal: AbortSignal) =>
  options().action(async (paths, flags) => {
    const { observe, silent } = await import('../jobs/progress.js');
    const print = (result: object, table: string) =>
      void process.stdout.write(`${flags.json ? JSON.stringify(result, null, 2) : table}\n`);
    const observer = () => (flags.quiet ? silent : observe());
    const mode = modeOf(paths, flags);
    refuseMisplaced(flags, mode);
    if (mode === 'table') {
      const { evaluateCheckpoints } = await import('../jobs/evaluate/table/table.js');
      const { formatTable } = await import('../jobs/evaluate/table/format.js');
      const { belonging } = await import('./read-job.js');
      const { reward: rewards, seed, seeds = seed === undefined ? undefined : [seed], format, ...settings } = flags;
      const { allow, count, steps, solver, guidance, batch, device, prompts, negative } = settings;
      const { checkpoints, output, keepImages } = settings;
      const table = await evaluateCheckpoints(paths, {
        ...{ count, seeds, steps, solver, guidance, batch, device, prompts, negative, rewards },
        ...{ checkpoints, output, keepImages, allow: allow.map(belonging), observer: observer(), signal },
      });
      return print(table, formatTable(table, format ?? 'text'));
    }
    if (mode === 'run') {
      const { evaluateRun } = await import('../jobs/evaluate/evaluate-run.js');
      const { evaluationText } = await import('../jobs/report/evaluation-table.js');
      const { belonging } = await import('./read-job.js');
      const { device, count, seed, steps } = flags;
      const allow = flags.allow.map(belonging);
      const evaluation = await evaluateRun(paths[0]!, {
        device,
        count,
        seed,
        steps,
        allow,
        observer: observer(),
        signal,
      });
      return print(evaluation, evaluationText(evaluation));
    }
    const { scoreFolder, scoreModel } = await import('../jobs/evaluate/score.js');
    const { refuseSkipped, summaryTable } = await import('../jobs/evaluate/summary.js');
    const { prompts, images, reward: rewards, ...settings } = flags;
    if (mode === 'model' && flags.asReference)
      throw new ConfigError('--as-reference: samples are not files; draw them into PNGs and give --images');
    if (prompts === undefined)
      throw new ConfigError('evaluate: expected --prompts, a file of one prompt a line, got none');
    const note = (line: string) => void (flags.quiet || process.stderr.write(`${line}\n`));
    const given = { ...settings, prompts, rewards };
    const options = { observer: observer(), signal };
    const summary =
      mode === 'images' ? await scoreFolder(images!, given, options) : await scoreModel(given, options, note);
    print(summary, summaryTable(summary));
    refuseSkipped(summary);
  });

const tableFormats = ['text', 'markdown', 'csv', 'latex'] as const;

const options = () =>
  new Command('evaluate')
    .description(
      "Compare a run's adapter, or many checkpoints, with the pretrained model; or score a folder of images, or what " +
        'a model draws.',
    )
    .argument(
      '[runs...]',
      'The directory of a finetune run; or several, or of checkpoints in them, which one table compares.',
    )
    .option(
      '--count <n>',
      "Draw this many samples of each of a run's two models. By default they are as many as its configuration says.",
      positiveInteger,
    )
    .addOption(
      new Option(
        '--checkpoints <which>',
        'Compare these checkpoints of each run in one table: last, all, or those of these steps: 50,100. ' +
          'By default it is the last.',
      ).argParser(checkpointList),
    )
    .addOption(
      new Option(
        '--seeds <list>',
        "Draw --count images from each of these seeds: 1,2,3. By default it is the run's seed.",
      )
        .argParser(numberList)
        .conflicts('seed'),
    )
    .addOption(
      new Option('--format <format>', 'Print the table so. By default it is text.')
        .choices(tableFormats)
        .conflicts('json'),
    )
    .option(
      '--keep-images <folder>',
      'Write every image that the table is made of into this folder, as a PNG. By default none is written.',
    )
    .option(
      '--output <folder>',
      "Keep each checkpoint's figures from each seed in this folder as soon as they are there: the same command goes " +
        'on where it was stopped. By default it is runs/evaluation.',
    )
    .addOption(allowOption())
    .option('--images <folder>', 'Score the PNGs in this folder, with --prompts and --reward.')
    .addOption(modelOption('the one that the adapter was trained on'))
    .addOption(weightsOption())
    .addOption(adapterOption())
    .option(
      '--prompts <file>',
      'Read prompts from this file: one a line, in the order of the PNGs; ' +
        'or .jsonl with {"file": …, "prompt": …} a line; or .csv with such columns. By default they are those of the ' +
        'run; a folder of images and a model need them.',
    )
    .addOption(rewardOption('Score by this'))
    .option('--samples <n>', 'Let the model draw this many images a prompt. By default they are 4.', positiveInteger)
    .addOption(negativeOption("the run's, or the empty one"))
    .addOption(widthOption())
    .addOption(heightOption())
    .addOption(textLengthOption())
    .option(
      '--batch <n>',
      "Take this many images at a time. By default they are 8 of a folder, and a model's own number.",
      positiveInteger,
    )
    .option('--as-reference', 'Resize images in bytes, as the reference scripts do.')
    .option(
      '--out <file>',
      "Write each image's scores into this file, a line of JSON each. By default none is written.",
    )
    .option('--seed <n>', "Draw the noise from this seed. By default it is the run's, or 0.", naturalNumber)
    .addOption(stepsOption())
    .addOption(solverOption())
    .addOption(guidanceOption())
    .addOption(deviceOverride("the run's, or auto"))
    .addOption(
      new Option('--dtype <dtype>', 'Compute the model in this type. By default it is float32.').choices(drawingTypes),
    )
    .addOption(jsonOption())
    .addOption(quietOption('Print no progress.'));

/** Numbers with commas between them. */
const numberList = (text: string): number[] => text.split(',').map(naturalNumber);

const checkpointList = (text: string): 'last' | 'all' | number[] =>
  text === 'last' || text === 'all' ? text : numberList(text);

type Flags = ReturnType<ReturnType<typeof options>['opts']>;

/** What is evaluated, and what it is called in a message. */
const modes = {
  run: 'a run, which is evaluated on its own prompts and rewards with its own settings',
  table: 'checkpoints of runs',
  images: 'a folder of images',
  model: 'a model',
} as const;
type Mode = keyof typeof modes;

function modeOf(paths: readonly string[], flags: Flags): Mode {
  const { images, model, adapter } = flags;
  const isTable = paths.length > 1 || ofTables.some((name) => isGiven(flags[name]));
  const given = [
    ...(paths.length === 0 ? [] : [[isTable ? 'table' : 'run', 'a run'] as const]),
    ...(images === undefined ? [] : [['images', '--images'] as const]),
    ...(model === undefined && adapter.length === 0 ? [] : [['model', '--model or --adapter'] as const]),
  ];
  if (given.length === 1) return given[0]![0];
  const names = given.map(([, name]) => name).join(' and ') || 'none';
  // In the words of expected(), which help does not load.
  throw new ConfigError(
    `evaluate: expected one of a run's directory, --images, and --model or --adapter, got ${names}`,
  );
}

/** The options that only samples that are drawn depend on. */
const ofDrawing = [
  'weights',
  'samples',
  'negative',
  'width',
  'height',
  'textLength',
  'seed',
  'steps',
  'solver',
  'guidance',
  'dtype',
] as const satisfies readonly (keyof Flags)[];

/** The options that tables alone know. */
const ofTablesAlone = ['checkpoints', 'seeds', 'format', 'keepImages', 'output'] as const;

/** A run for which one of these options is given is evaluated as a table of checkpoints is. */
const ofTables = [
  ...ofTablesAlone,
  ...(['prompts', 'reward', 'negative', 'solver', 'guidance', 'batch'] as const),
] satisfies readonly (keyof Flags)[];

/** The options that only images and models outside of runs take: a run brings its own settings. */
const ofRuns = ['out', 'asReference', 'samples', 'width', 'height', 'textLength', 'dtype'] as const;

/** The options that a mode does not read. */
const misplaced: Readonly<Record<Mode, readonly (keyof Flags)[]>> = {
  run: ofRuns,
  table: ofRuns,
  images: ['count', 'allow', ...ofTablesAlone, ...ofDrawing],
  model: ['count', 'allow', ...ofTablesAlone],
};

const isGiven = (value: unknown) => (Array.isArray(value) ? value.length > 0 : value !== undefined);

/** A setting that nothing reads would be believed to have been used. */
function refuseMisplaced(flags: Flags, mode: Mode): void {
  const wrong = misplaced[mode].filter((name) => isGiven(flags[name]));
  if (wrong.length === 0) return;
  const names = wrong.map((name) => `--${name.replace(/[A-Z]/g, (letter) => `-${letter.toLowerCase()}`)}`);
  throw new ConfigError(`evaluate: ${names.join(', ')}: not for ${modes[mode]}`);
}
