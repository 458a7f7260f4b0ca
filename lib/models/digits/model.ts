import { join } from 'node:path';

import { z } from 'zod';

import { expected } from '../../schema/validate.js';
import { classOf, type Classes } from './prompts.js';
import { ConfigError, DisposedError } from '../../errors.js';
import type { DigitsModelConfig, NativeFlowModel } from '../../runtime/native/binding.js';
import { binding } from '../../runtime/native/index.js';
import { withWeights } from '../../files/weights.js';
import type { Tensor } from '../../runtime/native/tensor.js';
import { loadAdapterOf, saveAdapterOf } from '../adapters/adapter.js';
import type { AdapterInfo, Drawing, LoadModelOptions, Model, ModelDType, PrepareOptions } from '../model.js';
import { evenTimes } from '../times.js';

/** A class-conditional diffusion transformer on the pixels of handwritten digits (DiT, arXiv 2212.09748). */
export const digitsConfigSchema = z.strictObject({
  type: z.literal('digits').describe('The type says which network.'),
  imageSize: z.int().min(1).default(28).describe('Images are this high and wide, in pixels.'),
  channels: z.int().min(1).default(1).describe('Images have this many channels.'),
  patchSize: z.int().min(1).default(4).describe('A token is a patch this high and wide, in pixels.'),
  width: z.int().min(4).default(128).describe('A token has this many numbers.'),
  depth: z.int().min(1).default(6).describe('There are this many transformer blocks.'),
  heads: z.int().min(1).default(4).describe('Attention has this many heads.'),
  mlpRatio: z.number().gt(0).default(4).describe('The hidden layer of a block is this many times as wide as a token.'),
  classes: z.int().min(1).default(10).describe('There are this many labels.'),
  prompts: z
    .array(z.string().min(1))
    .min(1)
    .optional()
    .describe('The classes are called this in prompts, in their order; left out, by their numbers.'),
  latentVariance: z
    .number()
    .gt(0)
    .optional()
    .describe(
      'This is the variance of the pixels about their mean, black at -1 and white at 1; left out, that of MNIST.',
    ),
});

export type DigitsConfig = z.output<typeof digitsConfigSchema>;

/** How digits are drawn where nobody says otherwise. */
export const digitsDrawing: Drawing = { steps: 20, solver: 'heun', guidance: 1 };

const defaultTargets = ['attn.qkv', 'attn.proj', 'mlp.fc1', 'mlp.fc2'];

/** What a model that was never trained without a label says where it is to be guided. */
export const whyUnguided = (source: string): string =>
  `${source} was trained with labelDropout 0: it has no velocity without a digit, and cannot be guided; draw ` +
  'at guidance 1, or pretrain it with labelDropout 0.1';

class DigitsModel implements Model {
  readonly name = 'digits';
  readonly sampling = { ...digitsDrawing, batch: 128, count: 16 };
  readonly latentShape: readonly number[];
  readonly unguided: string | undefined;
  #native: NativeFlowModel | undefined;

  constructor(
    native: NativeFlowModel,
    private readonly config: DigitsModelConfig & Classes,
    readonly source: string,
    readonly device: string,
    readonly dtype: ModelDType,
    readonly adapter: AdapterInfo | undefined,
    isConditional = false,
  ) {
    this.unguided = isConditional ? whyUnguided(source) : undefined;
    this.#native = native;
    this.latentShape = [config.channels, config.imageSize, config.imageSize];
  }

  get native(): NativeFlowModel {
    if (!this.#native) throw new DisposedError('the digits model was used after dispose()');
    return this.#native;
  }

  timeShift(): number {
    return 1;
  }

  times(steps: number): number[] {
    return evenTimes(steps);
  }

  async prepare(prompts: readonly string[], { negativePrompt = '' }: PrepareOptions = {}): Promise<void> {
    this.#labelsOf(prompts);
    this.#refuseNegative(negativePrompt);
  }

  async encode(prompts: readonly string[]): Promise<Tensor[]> {
    return this.labels(this.#labelsOf(prompts));
  }

  async unconditional(count: number, negativePrompt = ''): Promise<Tensor[]> {
    this.#refuseNegative(negativePrompt);
    if (this.unguided !== undefined) throw new ConfigError(this.unguided);
    // The class after the last digit is the one that labels were dropped to in pretraining.
    return this.labels(Array.from({ length: count }, () => this.config.classes));
  }

  loadAdapter(directory: string): Promise<void> {
    return loadAdapterOf(this, directory);
  }

  saveAdapter(directory: string, tensors?: Readonly<Record<string, Tensor>>): Promise<void> {
    return saveAdapterOf(this, directory, tensors);
  }

  dispose(): void {
    this.#native = undefined;
  }

  [Symbol.dispose](): void {
    this.dispose();
  }

  #labelsOf(prompts: readonly string[]): number[] {
    return prompts.map((prompt) => classOf(prompt, this.config));
  }

  #refuseNegative(prompt: string): void {
    if (prompt === '') return;
    throw new ConfigError(
      `negative prompt "${prompt}": the digits model knows none, its guidance leads away from no digit`,
    );
  }

  private labels(labels: number[]): Tensor[] {
    const data = BigInt64Array.from(labels, BigInt);
    return [binding().Tensor.from(data, [labels.length], { device: this.device })];
  }
}

/** What other models have a use for must not be left out in silence. */
function refuseForeignOptions(imageSize: number, options: LoadModelOptions): void {
  const { size, checkpointing, textLength, adapter, decoder, textEncoders } = options;
  if (size && (size.width !== imageSize || size.height !== imageSize)) {
    throw new ConfigError(
      expected('size', `${imageSize} × ${imageSize} pixels, as this model draws`, `${size.width} × ${size.height}`),
    );
  }
  if (checkpointing) throw new ConfigError('checkpointing: the digits model is too small for it');
  if (adapter?.fold) throw new ConfigError('adapter.fold: the digits model is too small for it');
  if (textLength !== undefined) throw new ConfigError('textLength: the digits model has no text encoder');
  if (decoder !== undefined) throw new ConfigError('decoder: the digits model has no autoencoder');
  if (textEncoders !== undefined) throw new ConfigError('textEncoders: the digits model has no text encoder');
}

/** What both ways to a network have in common. */
function settingsOf({ type: _, prompts, ...config }: DigitsConfig, options: LoadModelOptions) {
  const { device = 'cpu', dtype = 'float32', seed = 0n } = options;
  refuseForeignOptions(config.imageSize, options);
  const adapter = options.adapter && { ...options.adapter, targets: options.adapter.targets ?? defaultTargets };
  const lora = adapter && { rank: adapter.rank, alpha: adapter.alpha, targets: [...adapter.targets], seed };
  if (prompts && prompts.length !== config.classes)
    throw new ConfigError(expected('prompts', `a name for each of the ${config.classes} classes`, prompts.length));
  return { adapter, named: { ...config, prompts }, args: { config, seed, lora, dtype, device } };
}

/** A network with fresh weights, for pretraining. */
export function newDigitsModel(config: DigitsConfig, source: string, options: LoadModelOptions): Model {
  const { adapter, named, args } = settingsOf(config, options);
  const native = binding().newNetwork('digits', args);
  return new DigitsModel(native, named, source, args.device, args.dtype, adapter);
}

/** @param isConditional whether the network was never trained without a label, so that it cannot be guided */
export async function loadDigitsModel(
  config: DigitsConfig,
  directory: string,
  source: string,
  options: LoadModelOptions,
  isConditional: boolean,
): Promise<Model> {
  const { adapter, named, args } = settingsOf(config, options);
  const path = join(directory, 'model.safetensors');
  const native = await withWeights(path, [{ path }], (weights) =>
    binding().loadNetwork('digits', { ...args, weights }),
  );
  return new DigitsModel(native, named, source, args.device, args.dtype, adapter, isConditional);
}
