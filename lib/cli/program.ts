import { Command, CommanderError, InvalidArgumentError, Option } from 'commander';

import { ConfigError, EamError, suppressedBy } from '../errors.js';
import { packageVersion } from '../runtime/package.js';

/** Exit codes of every command. */
export const ExitCode = { done: 0, failed: 1, usage: 2, interrupted: 130 } as const;

const number =
  (check: (value: number) => boolean, expected: string) =>
  (text: string): number => {
    const value = Number(text);
    if (text.trim() === '' || !check(value)) throw new InvalidArgumentError(`Expected ${expected}.`);
    return value;
  };
const positiveInteger = number((value) => Number.isSafeInteger(value) && value >= 1, 'a whole number from 1');
const naturalNumber = number((value) => Number.isSafeInteger(value) && value >= 0, 'a whole number from 0');
const atLeastZero = number((value) => Number.isFinite(value) && value >= 0, 'a number from 0');
const seedList = (text: string): number[] => {
  const values = text.split(',').map(naturalNumber);
  return values.length > 1 ? values : Array.from({ length: positiveInteger(text) }, (_, seed) => seed);
};
const repeatable = (flags: string, description: string): Option =>
  new Option(flags, `${description}; repeatable`)
    .argParser((value: string, earlier: string[]) => [...earlier, value])
    .default([], 'none');

const deviceOption = () => new Option('--device <device>', 'cpu, cuda or cuda:N').default('cpu');
const solvers = ['euler', 'heun', 'midpoint', 'dpmpp2m'];

/**
 * The command line. Each command's code is loaded when the command runs, so that `doctor` and `build` work where the
 * native core does not.
 */
export function createProgram(signal: AbortSignal): Command {
  const program = new Command('eam')
    .description('Fine-tune diffusion and flow models against rewards by Efficient Adjoint Matching.')
    .version(packageVersion, '-V, --version')
    .showHelpAfterError('(eam --help lists the commands and options)')
    .exitOverride()
    .addHelpText('after', '\nExit codes: 0 done, 1 failed, 2 bad usage, 130 interrupted (after writing a checkpoint).');

  const job = (
    name: string,
    description: string,
    resume = 'go on from the newest whole checkpoint in the output directory',
  ) =>
    program
      .command(name)
      .description(description)
      .argument('<config>', 'a JSON configuration, or the directory of a run')
      .addOption(repeatable('--set <key=value>', 'change one setting, such as optimizer.learningRate=1e-3'))
      .option('--output <directory>', 'where to write; overrides the configuration')
      .option('--resume', resume)
      .option('--quiet', 'print nothing but errors');

  job('finetune', "Fine-tune a model's adapter towards rewards, and write a report.").action(
    async (config, options) => {
      const { runFinetune } = await import('./finetune.js');
      await runFinetune(config, options, signal);
    },
  );
  job(
    'compare',
    'Fine-tune with several algorithms over several seeds, and report what each reward cost.',
    'keep the runs that are finished in the output directory',
  )
    .option('--seeds <n>', 'how many runs of each: seeds 1 to n', positiveInteger)
    .action(async (config, options) => {
      const { runCompare } = await import('./compare.js');
      await runCompare(config, options, signal);
    });
  job('pretrain', 'Train a model or a classifier from scratch.').action(async (config, options) => {
    const { runPretrain } = await import('./pretrain.js');
    await runPretrain(config, options, signal);
  });

  program
    .command('sample')
    .description('Draw images into one PNG, or one each, whose text metadata keeps the settings.')
    .addOption(
      new Option(
        '--model <model>',
        '"digits" or a model directory; default: the one the adapter was trained on, or digits',
      ),
    )
    .option(
      '--adapter <directory>',
      "an adapter in PEFT's layout, such as a run's checkpoints/step-N; of a run directory, the newest",
    )
    .addOption(repeatable('--prompt <text>', 'what to draw, one after the other'))
    .option('--prompts <file>', 'prompts, one a line or in JSON lines, after those of --prompt')
    .option('--negative <text>', 'what guidance leads away from')
    .option('--count <n>', 'how many images; default: one a prompt, of the digits 16', positiveInteger)
    .option(
      '--width <pixels>',
      "of the images; default: the height, or that of the adapter's run, or the model's",
      positiveInteger,
    )
    .option(
      '--height <pixels>',
      "of the images; default: the width, or that of the adapter's run, or the model's",
      positiveInteger,
    )
    .option('--columns <n>', 'images in a row of one PNG', positiveInteger)
    .option('--steps <n>', "steps of the ODE solver; default: the model's, 20 or 28", positiveInteger)
    .addOption(new Option('--solver <name>', "of the ODE; default: the model's").choices(solvers))
    .option('--guidance <g>', "classifier-free guidance, 1: none; default: the model's, 1 or 4.5", atLeastZero)
    .option('--seed <n>', 'of the noise', naturalNumber, 0)
    .option('--batch <n>', "images drawn at a time; default: the model's", positiveInteger)
    .option(
      '--text-length <n>',
      "tokens that a T5 text encoder reads; default: those of the adapter's run, or 256",
      positiveInteger,
    )
    .addOption(
      new Option('--dtype <dtype>', 'of the network').choices(['float32', 'bfloat16', 'float16']).default('float32'),
    )
    .addOption(deviceOption())
    .requiredOption('--out <path>', 'the PNG to write, or a folder for a PNG each')
    .option('--quiet', 'print nothing but errors')
    .action(async (options) => {
      const { runSample } = await import('./sample.js');
      await runSample(options, signal);
    });

  program
    .command('evaluate')
    .description(
      "Compare a run's adapter with the pretrained model; or score a folder of images, or what a model draws.",
    )
    .argument('[run]', 'the directory of a finetune run')
    .option('--count <n>', 'of a run: samples of each', positiveInteger)
    .option('--images <folder>', 'PNGs to score, with --prompts and --reward')
    .addOption(new Option('--model <model>', '"digits" or a model directory, whose samples are scored'))
    .option('--adapter <directory>', "an adapter for it; of a run's directory, the newest")
    .option('--prompts <file>', 'one a line, in the order of the PNGs; or .jsonl with {"file": …, "prompt": …} a line')
    .addOption(repeatable('--reward <name=directory>', 'such as pickscore=DIR or aesthetic=DIR,tower=CLIP'))
    .option('--samples <n>', 'images that the model draws a prompt; default: 4', positiveInteger)
    .option('--negative <text>', 'what guidance leads away from')
    .option(
      '--width <pixels>',
      "of the model's images; default: the height, or that of the adapter's run, or the model's",
      positiveInteger,
    )
    .option(
      '--height <pixels>',
      "of the model's images; default: the width, or that of the adapter's run, or the model's",
      positiveInteger,
    )
    .option(
      '--text-length <n>',
      "tokens that a T5 text encoder reads; default: those of the adapter's run, or 256",
      positiveInteger,
    )
    .option('--batch <n>', 'images at a time; default: 8, of a model its own', positiveInteger)
    .option('--as-reference', 'resize images in bytes, as the reference scripts do')
    .option('--out <file>', "where to write each image's scores, a line of JSON each")
    .option('--seed <n>', 'of the noise', naturalNumber)
    .option('--steps <n>', 'steps of the ODE solver', positiveInteger)
    .addOption(new Option('--solver <name>', "of the ODE; default: the model's").choices(solvers))
    .option('--guidance <g>', "classifier-free guidance, 1: none; default: the model's", atLeastZero)
    .addOption(new Option('--device <device>', "cpu, cuda or cuda:N; default: the run's, or cpu"))
    .addOption(new Option('--dtype <dtype>', 'of the model').choices(['float32', 'bfloat16', 'float16']))
    .option('--json', 'print the result as JSON')
    .option('--quiet', 'no progress')
    .action(async (run, options) => {
      const { runEvaluate } = await import('./evaluate.js');
      await runEvaluate(run, options, signal);
    });

  program
    .command('fidelity')
    .description('Fine-tune where the answer is known exactly, and print as JSON how close it came.')
    .requiredOption(
      '--problem <problem>',
      'overlapping, separated or a JSON file: a Gaussian mixture and a quadratic reward',
    )
    .addOption(new Option('--algorithm <name>', 'what to fine-tune with').choices(['eam', 'am']).default('eam'))
    .option('--seeds <n|list>', 'how many runs, from seed 0 on, or their seeds: 3,7', seedList, [0])
    .option('--steps <n>', 'of training', positiveInteger)
    .option('--batch <n>', 'samples a step', positiveInteger)
    .option('--evaluate-every <n>', 'steps between points of the curve', positiveInteger)
    .addOption(repeatable('--set <key=value>', 'change one setting, such as algorithm.C=2 or network.width=128'))
    .option('--json', 'print the JSON on one line')
    .option('--quiet', 'print nothing but the JSON and errors')
    .action(async (options) => {
      const { runFidelity } = await import('./fidelity.js');
      await runFidelity(options, signal);
    });

  program
    .command('plan')
    .description(
      'Print the memory and the network evaluations that a fine-tuning takes, without loading it; fail where the device is too small.',
    )
    .argument('<config>', "finetune's configuration, or the directory of a run")
    .addOption(repeatable('--set <key=value>', 'change one setting, such as batch=8'))
    .addOption(new Option('--device <device>', "cpu, cuda or cuda:N; default: the configuration's"))
    .option('--memory <GiB>', 'what the device has free; default: what is found there', atLeastZero)
    .option('--json', 'print the result as JSON')
    .action(async (config, options) => {
      const { runPlan } = await import('./plan.js');
      await runPlan(config, options, signal);
    });

  program
    .command('merge')
    .description('Fold an adapter into a copy of its model.')
    .addOption(
      new Option('--model <model>', '"digits" or a model directory; default: the one the adapter was trained on'),
    )
    .requiredOption(
      '--adapter <directory>',
      "an adapter's directory, in either layout, or a run's: of that, the newest checkpoint",
    )
    .requiredOption('--out <directory>', 'the directory to write')
    .option('--quiet', 'print nothing but errors')
    .action(async (options) => {
      const { runMerge } = await import('./merge.js');
      await runMerge(options);
    });

  program
    .command('export')
    .description('Copy an adapter into the layout that other programs read.')
    .argument('<adapter>', "an adapter's directory, or a run's: of that, the newest checkpoint")
    .argument('<out>', 'the directory to write')
    .addOption(
      new Option('--layout <name>', "diffusers' (pipeline.load_lora_weights) or PEFT's")
        .choices(['diffusers', 'peft'])
        .default('diffusers'),
    )
    .option('--quiet', 'print nothing but errors')
    .action(async (adapter, out, options) => {
      const { runExport } = await import('./export.js');
      await runExport(adapter, out, options);
    });

  program
    .command('convert')
    .description('Write the tensors of a .pt or .pth file as safetensors; nothing in the file is run.')
    .argument('<file>', 'a dictionary of tensors that torch.save wrote')
    .argument('<out>', 'the .safetensors to write')
    .option('--force', 'overwrite it')
    .option('--quiet', 'print nothing but errors')
    .action(async (file, out, options) => {
      const { runConvert } = await import('./convert.js');
      await runConvert(file, out, options);
    });

  program
    .command('verify')
    .description('Compare what the native networks compute with the goldens in a directory; fail where one differs.')
    .argument('<directory>', 'a published model with a goldens.safetensors beside its parts')
    .option('--reward <name>', 'the directory is of this reward, such as pickscore')
    .option('--tower <directory>', 'of the model whose features the reward reads, where that is another')
    .addOption(deviceOption())
    .addOption(
      new Option('--dtype <dtype>', 'to compute in')
        .choices(['float32', 'float64', 'bfloat16', 'float16'])
        .default('float32'),
    )
    .option('--json', 'print the result as JSON')
    .action(async (directory, options) => {
      const { runVerify } = await import('./verify.js');
      await runVerify(directory, options, signal);
    });

  program
    .command('doctor')
    .description('Print what was found and chosen, to paste into a bug report.')
    .option('--json', 'print as JSON')
    .action(async (options) => {
      const { runDoctor } = await import('./doctor.js');
      await runDoctor(options);
    });

  program
    .command('cache')
    .description('Print where the cache is and what it holds.')
    .option(
      '--clear',
      'remove the text embeddings from it, which are computed again when they are needed; LibTorch stays',
    )
    .option('--json', 'print as JSON')
    .action(async (options) => {
      const { runCache } = await import('./cache.js');
      await runCache(options);
    });

  program
    .command('build')
    .description('Build the native core; find or fetch a LibTorch for it first.')
    .addOption(new Option('--variant <variant>', 'what to build for').choices(['cpu', 'cuda']).default('cpu'))
    .option('--jobs <n>', 'compilers run at once; default: all processors', positiveInteger)
    .option('--libtorch <directory>', 'the LibTorch to build against; default: searched for')
    .option('--cuda-architectures <list>', "in CMake's notation; default: all supported ones")
    .option('--quiet', 'print nothing but errors')
    .action(async (options) => {
      const { runBuild } = await import('./build.js');
      await runBuild(options);
    });

  program
    .command('libtorch')
    .description("Fetch a LibTorch into the cache, with python3's pip, and print its folder; compile nothing.")
    .addOption(new Option('--variant <variant>', 'a CPU or a CUDA build').choices(['cpu', 'cuda']).default('cpu'))
    .action(async (options) => {
      const { runLibTorch } = await import('./libtorch.js');
      await runLibTorch(options);
    });

  return program;
}

/** Runs one command line and returns its exit code; every error is printed as one message. */
export async function main(args: readonly string[]): Promise<number> {
  const interrupt = new AbortController();
  const onSignal = (name: NodeJS.Signals) => {
    // A second one means it.
    if (interrupt.signal.aborted) process.exit(ExitCode.interrupted);
    interrupt.abort(new EamError('ERR_EAM_INTERRUPTED', `interrupted by ${name}`));
  };
  process.on('SIGINT', onSignal).on('SIGTERM', onSignal);
  try {
    await createProgram(interrupt.signal).parseAsync(args, { from: 'user' });
    return ExitCode.done;
  } catch (error) {
    if (error instanceof CommanderError) return error.exitCode === 0 ? ExitCode.done : ExitCode.usage;
    const suppressed = suppressedBy(error);
    // With something suppressed there is no checkpoint to go on from.
    if (interrupt.signal.aborted && error === interrupt.signal.reason && suppressed.length === 0) {
      process.stderr.write(`${(error as Error).message}\n`);
      return ExitCode.interrupted;
    }
    for (const failure of [error, ...suppressed]) process.stderr.write(`error: ${describe(failure)}\n`);
    return error instanceof ConfigError ? ExitCode.usage : ExitCode.failed;
  } finally {
    process.off('SIGINT', onSignal).off('SIGTERM', onSignal);
  }
}

function describe(error: unknown): string {
  if (!(error instanceof Error)) return String(error);
  return process.env['EAM_DEBUG'] === '1' ? (error.stack ?? error.message) : error.message;
}
