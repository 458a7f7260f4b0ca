// What several commands have in common: parsers of values, and options, each with its words.

import { InvalidArgumentError, Option } from '@commander-js/extra-typings';

import { shippedModels } from '../models/shipped.js';
import { rewardExamples } from '../rewards/examples.js';
import { solverNames } from '../runtime/native/choices.generated.js';

const number =
  (check: (value: number) => boolean, expected: string) =>
  (text: string): number => {
    const value = Number(text);
    if (text.trim() === '' || !check(value)) throw new InvalidArgumentError(`Expected ${expected}.`);
    return value;
  };
export const positiveInteger = number((value) => Number.isSafeInteger(value) && value >= 1, 'a whole number from 1');
export const naturalNumber = number(
  (value) => Number.isSafeInteger(value) && value >= 0,
  'a whole number from 0 to 2^53 - 1',
);
export const port = number(
  (value) => Number.isSafeInteger(value) && value >= 0 && value <= 65_535,
  'a port from 0 to 65535',
);
export const fraction = number((value) => value >= 0 && value <= 1, 'a number from 0 to 1');
export const atLeastZero = number((value) => Number.isFinite(value) && value >= 0, 'a number from 0');

/** An option that may be given several times; its values come in their order. */
export const repeatable = <Flags extends string>(flags: Flags, description: string) =>
  new Option(flags, `${description} It may be given several times.`)
    .argParser((value: string, earlier: string[]) => [...earlier, value])
    .default([] as string[], 'none');

export const setOption = (example: string) =>
  repeatable('--set <key=value>', `Change one setting of the configuration, such as ${example}.`);

export const allowOption = () =>
  repeatable('--allow <what>', 'Accept another one than the run had: model, rewards, algorithm or data.');

export const quietOption = (what = 'Print nothing but errors.') => new Option('--quiet', what);

export const jsonOption = (what = 'Print the result as JSON.') => new Option('--json', what);

const deviceWords =
  'Compute on this device: cpu, cuda or cuda:N, or auto: cuda where the loaded addon has a device, else cpu.';

export const deviceOption = (otherwise: 'auto' | 'cpu') =>
  new Option('--device <device>', deviceWords).default(otherwise);

/** Without a default: what runs has a device of its own. */
export const deviceOverride = (otherwise: string) =>
  new Option('--device <device>', `${deviceWords} By default it is ${otherwise}.`);

/** Types that a network computes in when images are drawn. */
export const drawingTypes = ['float32', 'bfloat16', 'float16'] as const;

export const modelOption = (otherwise: string) =>
  new Option(
    '--model <model>',
    `Take this model: ${shippedModels.map((name) => `"${name}"`).join(' or ')}, which comes with the package, ` +
      "or a model's directory, or its name on the hub, user/name, once it is fetched, or the module that defines it. " +
      `By default it is ${otherwise}.`,
  );

export const weightsOption = () =>
  new Option(
    '--weights <file>',
    "Take these weights, in a safetensors file such as eam pretrain's, for the module that --model names. " +
      "By default they are those of the adapter's run, or the module's own.",
  );

export const adapterOption = () =>
  repeatable(
    '--adapter <path[:weight]>',
    "Load this adapter: a directory in PEFT's layout or diffusers', such as a run's checkpoints/step-N, or a file " +
      "for diffusers, kohya's sd-scripts or ComfyUI, or its name on the hub, user/name, once it is fetched. Of a " +
      "run's directory it is the newest one. Its update is " +
      'multiplied by the weight, 1 by default, and added to those of others.',
  );

export const rewardOption = (what: string) =>
  repeatable(
    '--reward <name=directory>',
    `${what}, such as ${rewardExamples.join(' or ')}. The directory may be a name on the hub, user/name, and is left ` +
      'out where eam fetch NAME got it.',
  );

export const variantOption = (what: string) =>
  new Option('--variant <variant>', what).choices(['cpu', 'cuda'] as const).default('cpu' as const);

const sizeWords = (side: string, other: string) =>
  `Draw images of this ${side} in pixels. ` +
  `By default it is the ${other}, else that of the adapter's run, else the model's own.`;

export const widthOption = () =>
  new Option('--width <pixels>', sizeWords('width', 'height')).argParser(positiveInteger);

export const heightOption = () =>
  new Option('--height <pixels>', sizeWords('height', 'width')).argParser(positiveInteger);

export const textLengthOption = () =>
  new Option(
    '--text-length <n>',
    'Let a text encoder without a length of its own read this many tokens of a prompt. ' +
      "By default they are as many as in the adapter's run, or 256.",
  ).argParser(positiveInteger);

export const negativeOption = (otherwise: string) =>
  new Option('--negative <text>', `Let guidance lead away from this prompt. By default it is ${otherwise}.`);

export const stepsOption = () =>
  new Option(
    '--steps <n>',
    "Draw with this many steps of the ODE solver. By default they are the model's own number.",
  ).argParser(positiveInteger);

export const solverOption = () =>
  new Option('--solver <name>', "Draw with this ODE solver. By default it is the model's own.").choices(solverNames);

export const guidanceOption = () =>
  new Option(
    '--guidance <g>',
    "Draw with this weight of classifier-free guidance; 1 is none. By default it is the model's own, " +
      'and 1 with an adapter of eam distill.',
  ).argParser(atLeastZero);
