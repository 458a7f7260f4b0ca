import { Command, type Option } from '@commander-js/extra-typings';

import { packageVersion } from '../runtime/package.js';
import { buildCommand } from './build.js';
import { checkRewardCommand } from './check-reward.js';
import { completionCommand } from './completion.js';
import { cacheCommand } from './cache.js';
import { compareCommand } from './compare.js';
import { convertCommand } from './convert.js';
import { diffCommand } from './diff.js';
import { distillCommand } from './distill.js';
import { doctorCommand } from './doctor.js';
import { evaluateCommand } from './evaluate.js';
import { exportCommand } from './export.js';
import { fetchCommand } from './fetch.js';
import { fidelityCommand } from './fidelity.js';
import { finetuneCommand } from './finetune.js';
import { initCommand } from './init.js';
import { libtorchCommand } from './libtorch.js';
import { mergeCommand } from './merge.js';
import { planCommand } from './plan.js';
import { pretrainCommand } from './pretrain.js';
import { pushCommand } from './push.js';
import { reportCommand } from './report.js';
import { reproduceCommand } from './reproduce.js';
import { sampleCommand } from './sample.js';
import { serveCommand } from './serve.js';
import { verifyCommand } from './verify.js';

/** What an option says of itself, with its choices and its default in sentences like all else. */
function optionDescription(option: Option): string {
  const choices = option.argChoices?.join(', ').replace(/, ([^,]*)$/, ' or $1');
  return [option.description, ...(choices ? [`It is ${choices}.`] : []), ...defaultOf(option)].join(' ');
}

/** What holds where the option is left out; nothing of a flag without a value, or where its own words say it. */
function defaultOf({ description, required, optional, mandatory, ...option }: Option): string[] {
  if (mandatory) return ['It is required.'];
  const standard = option.defaultValueDescription ?? option.defaultValue;
  if (standard !== undefined && typeof standard !== 'boolean') return [`By default it is ${String(standard)}.`];
  return (required || optional) && !description.includes('By default') ? ['By default there is none.'] : [];
}

/** The commands, in the order of `eam --help`. */
const commands = [
  initCommand,
  finetuneCommand,
  compareCommand,
  reproduceCommand,
  distillCommand,
  pretrainCommand,
  sampleCommand,
  evaluateCommand,
  reportCommand,
  serveCommand,
  diffCommand,
  fidelityCommand,
  planCommand,
  mergeCommand,
  exportCommand,
  convertCommand,
  fetchCommand,
  pushCommand,
  verifyCommand,
  checkRewardCommand,
  doctorCommand,
  cacheCommand,
  buildCommand,
  libtorchCommand,
  completionCommand,
];

/**
 * The command line. A command's file defines its options; the job behind it is loaded when the command runs, so that
 * help comes at once, and `doctor` and `build` work where the native core does not.
 */
export function createProgram(signal: AbortSignal) {
  const program = new Command('eam')
    .description('Fine-tune diffusion and flow models against rewards by Efficient Adjoint Matching.')
    .version(packageVersion, '-V, --version', 'Print the version.')
    .helpOption('-h, --help', 'Print this help.')
    .configureHelp({ optionDescription, argumentDescription: ({ description }) => description })
    .helpCommand('help [command]', 'Print the help of a command.')
    .showHelpAfterError('(eam --help lists the commands and options)')
    .exitOverride()
    .addHelpText(
      'after',
      '\nExit codes: 0 done, 1 failed, 2 bad usage; 3 stopped by stopWhen, 130 interrupted (with a checkpoint).',
    );
  for (const command of commands) program.addCommand(command(signal).copyInheritedSettings(program));
  return program;
}
