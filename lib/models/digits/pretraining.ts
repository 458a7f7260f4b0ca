import { z } from 'zod';

import { ConfigError } from '../../errors.js';
import { expected } from '../../schema/validate.js';
import { flowSettings, flowTask, type FlowExamples } from '../flow-task.js';
import { folderSettings, readImageFolder } from '../image-folder.js';
import { pretraining } from '../pretraining.js';
import { checkFitsMnist, drawShifts, loadMnist, mnistSettings } from './mnist.js';
import { digitsConfigSchema, digitsDrawing, newDigitsModel, type DigitsConfig } from './model.js';

const sources = z.discriminatedUnion('name', [z.strictObject(mnistSettings), z.strictObject(folderSettings)]);
type Source = z.output<typeof sources>;

/** Where nobody names the images they are MNIST's. */
const named = (data: unknown) => (typeof data === 'object' && data !== null ? { name: 'mnist', ...data } : data);

/** What a network is to be trained on, and its configuration as the images complete it. */
interface Examples extends FlowExamples {
  model: DigitsConfig;
}

/** The digits, or other images of a few classes, by flow matching. */
export const digitsPretraining = pretraining({
  type: 'digits',
  model: digitsConfigSchema,
  settings: {
    data: (z.preprocess(named, sources) as unknown as typeof sources)
      .prefault({} as z.input<typeof sources>)
      .describe('The network is trained on these images.'),
    ...flowSettings,
  },
  drawing: digitsDrawing,
  async start({ model: sizes, data, labelDropout, timeDistribution, batch, ...config }, signal) {
    const seed = BigInt(config.seed);
    const { model: completed, ...examples } = await (data.name === 'mnist'
      ? mnistExamples(sizes, data, config.device, seed)
      : folderExamples(sizes, data, config.device, signal));
    try {
      const model = newDigitsModel(completed, config.output, { device: config.device, seed });
      const task = await flowTask(model, examples, { labelDropout, timeDistribution, batch, seed, signal });
      return { ...task, writeModel: async () => completed };
    } catch (error) {
      examples.images.dispose();
      throw error;
    }
  },
});

async function mnistExamples(
  model: DigitsConfig,
  { name, heldOut, shift }: Extract<Source, { name: 'mnist' }>,
  device: string,
  seed: bigint,
): Promise<Examples> {
  checkFitsMnist(model);
  const { images, labels, train } = await loadMnist(heldOut, device);
  return {
    model,
    images,
    examples: train,
    source: { name, heldOut },
    promptOf: (image) => String(labels[image]),
    prompts: numbersBelow(model.classes),
    shifts: (count, step) => drawShifts(count, shift, seed, step),
  };
}

/** Images of a folder, whose captions become the names of the classes. */
async function folderExamples(
  model: DigitsConfig,
  { name, path }: Extract<Source, { name: 'folder' }>,
  device: string,
  signal: AbortSignal | undefined,
): Promise<Examples> {
  const { imageSize, channels, classes } = model;
  const shape = { channels, height: imageSize, width: imageSize };
  const { images, labels, hasCaptions, variance, fingerprint } = await readImageFolder(path, shape, device, signal);
  const prompts = hasCaptions ? (model.prompts ?? [...new Set(labels)].sort()) : numbersBelow(classes);
  try {
    refuseOtherClasses(model, prompts, labels, path);
  } catch (error) {
    images.dispose();
    throw error;
  }
  return {
    model: { ...model, latentVariance: model.latentVariance ?? variance, ...(hasCaptions && { prompts }) },
    images,
    examples: Int32Array.from(labels, (_, image) => image),
    source: { name, fingerprint },
    promptOf: (image) => labels[image]!,
    prompts,
  };
}

const numbersBelow = (count: number): string[] => Array.from({ length: count }, (_, number) => String(number));

/** @throws ConfigError for labels that are no classes of the model, and for classes that no image is of */
function refuseOtherClasses(
  { classes }: DigitsConfig,
  prompts: readonly string[],
  labels: readonly string[],
  path: string,
): void {
  if (prompts.length !== classes)
    throw new ConfigError(expected('model.classes', `${prompts.length}, as ${path} has captions`, classes));
  const foreign = labels.find((label) => !prompts.includes(label));
  if (foreign !== undefined) {
    const known = prompts.map((prompt) => JSON.stringify(prompt)).join(', ');
    throw new ConfigError(
      expected(`${path}: labels`, `those of the model's classes, ${known}`, JSON.stringify(foreign)),
    );
  }
  const empty = prompts.filter((prompt) => !labels.includes(prompt));
  if (empty.length)
    throw new ConfigError(
      expected(path, `images of each of the model's ${classes} classes`, `none of ${empty.slice(0, 8).join(', ')}`),
    );
}
