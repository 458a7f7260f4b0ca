import { join } from 'node:path';

import { z } from 'zod';

import { shippedDirectory } from '../../runtime/package.js';
import { Origin, originOf, setOrigin } from '../../files/origin.js';
import { readJson } from '../../schema/json.js';
import { checkOptions } from '../../schema/options.js';
import { validate } from '../../schema/validate.js';
import { digitOf } from '../../models/digits/prompts.js';
import type { NativeClassifier } from '../../runtime/native/binding.js';
import { binding } from '../../runtime/native/index.js';
import { withWeights } from '../../files/weights.js';
import type { ArrayReward, Judge } from '../reward.js';

/** A small convolutional classifier of handwritten digits. */
export const digitClassifierConfigSchema = z.strictObject({
  type: z.literal('digit-classifier').describe('The type says which network.'),
  imageSize: z.int().min(1).default(28).describe('Images are this high and wide, in pixels.'),
  channels: z.int().min(1).default(1).describe('Images have this many channels.'),
  widths: z
    .array(z.int().min(1))
    .min(1)
    .default([16, 32, 64])
    .describe('The convolutions, each of which halves the image, have these numbers of channels.'),
  features: z.int().min(1).default(64).describe('An image has this many features, in which images are compared.'),
  classes: z.int().min(2).default(10).describe('There are this many labels.'),
});

/** What a digit's reward may be: see {@link DigitRewardOptions}. */
export const digitValues = ['log-probability', 'match'] as const;

/** These are the options of {@link digitClassifier} and {@link digitJudge}. */
export interface DigitClassifierOptions {
  /** The directory of its config.json and model.safetensors; default: the classifier that comes with the package. */
  directory?: string | undefined;
  /** It runs on this device, which is where the images are; default `'cpu'`. */
  device?: string | undefined;
}

/** Options of {@link digitClassifier} besides. */
export interface DigitRewardOptions extends DigitClassifierOptions {
  /**
   * `'log-probability'` is log p(the digit that the prompt asks for | image). `'match'` is 1 where that digit is the
   * likeliest and 0 elsewhere, and has no gradient.
   * @defaultValue 'log-probability'
   */
  value?: 'log-probability' | 'match' | undefined;
}

const optionsShape = { directory: z.string().min(1), device: z.string() };

/** Whether an image shows the digit that its prompt asks for, as a classifier sees it. */
export function digitClassifier(options: DigitRewardOptions = {}): ArrayReward {
  checkOptions({ ...optionsShape, value: z.enum(digitValues) }, options, 'digitClassifier options');
  const { value = 'log-probability', directory = shippedDirectory('digit-classifier') } = options;
  const network = lazily(() => loadClassifier(reward, directory, options.device));
  const reward: ArrayReward = value === 'match' ? matches(network) : logProbability(network);
  setOrigin(reward, () => originIn(directory, value === 'match' ? [reward.name, value] : reward.name));
  return reward;
}

type Network = () => Promise<NativeClassifier>;

const matches = (network: Network): ArrayReward => ({
  name: 'digit-classifier',
  differentiable: false,
  async score(images, prompts) {
    const labels = Int32Array.from(prompts, digitOf);
    const { predicted, features } = await (await network()).logProbability(images, labels, false);
    features.dispose();
    return { values: Float32Array.from(labels, (label, image) => Number(predicted[image] === label)) };
  },
});

function logProbability(network: Network): ArrayReward {
  return {
    name: 'digit-classifier',
    async score(images, prompts, { gradient = false } = {}) {
      const labels = Int32Array.from(prompts, digitOf);
      const reading = await (await network()).logProbability(images, labels, gradient);
      reading.features.dispose();
      return reading.grad ? { values: reading.values, grad: reading.grad } : { values: reading.values };
    },
  };
}

/** Reads the digit in an image; its features are the classifier's last hidden layer. */
export function digitJudge(options: DigitClassifierOptions = {}): Judge {
  checkOptions(optionsShape, options, 'digitJudge options');
  const directory = options.directory ?? shippedDirectory('digit-judge');
  const network = lazily(() => loadClassifier(judge, directory, options.device));
  const judge: Judge = {
    name: 'digit-judge',
    async judge(images, prompts) {
      const labels = Int32Array.from(prompts, digitOf);
      const { predicted, features } = await (await network()).logProbability(images, labels, false);
      return { matches: Array.from(labels, (label, image) => predicted[image] === label), features };
    },
  };
  setOrigin(judge, () => originIn(directory, judge.name));
  return judge;
}

/** A network with fresh weights, for pretraining. */
export function newClassifier(
  { type: _, ...config }: z.output<typeof digitClassifierConfigSchema>,
  seed: bigint,
  device = 'cpu',
): NativeClassifier {
  return binding().newNetwork('digit-classifier', { config, seed, device });
}

const filesIn = (directory: string) => ({
  path: join(directory, 'config.json'),
  file: join(directory, 'model.safetensors'),
});

const originIn = (directory: string, name: string | readonly string[]): Promise<Origin> =>
  Origin.of(Object.values(filesIn(directory)), { name });

/** @param reader the reward or judge that it is for */
async function loadClassifier(reader: object, directory: string, device = 'cpu'): Promise<NativeClassifier> {
  await originOf(reader);
  const { path, file } = filesIn(directory);
  const { type: _, ...config } = validate(digitClassifierConfigSchema, await readJson(path), path);
  return withWeights(file, [{ path: file }], (weights) =>
    binding().loadNetwork('digit-classifier', { config, weights, device }),
  );
}

/** Loads on first use: a reward is named in a configuration before anything native is needed. */
function lazily<T>(load: () => Promise<T>): () => Promise<T> {
  let loading: Promise<T> | undefined;
  return () => (loading ??= load());
}
