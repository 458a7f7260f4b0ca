import { z } from 'zod';

import { expected } from '../schema/validate.js';
import { ConfigError } from '../errors.js';
import { flowSettings, flowTask } from './flow-task.js';
import { folderSettings, readImageFolder, type ImageShape } from './image-folder.js';
import type { Model } from './model.js';
import type { PretrainSettings, PretrainTask } from './pretraining.js';

/** The settings of a network of one's own that is trained on a folder of images. */
export const folderTaskSettings = {
  data: z
    .strictObject({ ...folderSettings, name: folderSettings.name.default('folder') })
    .describe('The network is trained on these images.'),
  ...flowSettings,
};

type FolderTaskConfig = PretrainSettings & z.output<z.ZodObject<typeof folderTaskSettings>>;

/** The images that a network of this shape is trained on. @throws ConfigError for one that is not on pixels */
export function imageShape(shape: readonly number[], hasDecoder: boolean): ImageShape {
  const [channels, height, width] = shape;
  if (!hasDecoder && shape.length === 3 && (channels === 1 || channels === 3))
    return { channels, height: height!, width: width! };
  throw new ConfigError(
    expected(
      'model',
      'a network on pixels to pretrain, of shape [1 or 3, height, width] and without a decoder',
      `the shape [${shape.join(', ')}]${hasDecoder ? ' and a decoder' : ''}`,
    ),
  );
}

/**
 * Flow matching of a network of one's own on a folder of images, whose captions or labels are its prompts.
 * @param makeModel makes the network, once the images are known to fit it: of all prompts, in order, and how many
 *   samples a step takes
 * @returns the task, and the variance of the pixels
 */
export async function folderTask(
  { data: { name, path }, timeDistribution, labelDropout, batch, device, seed }: FolderTaskConfig,
  shape: ImageShape,
  makeModel: (prompts: readonly string[], batch: number) => Promise<Model>,
  signal: AbortSignal | undefined,
): Promise<{ task: PretrainTask; variance: number }> {
  const { images, labels, variance, fingerprint } = await readImageFolder(path, shape, device, signal);
  let model: Model | undefined;
  try {
    const prompts = [...new Set(labels)].sort(new Intl.Collator('en', { numeric: true }).compare);
    model = await makeModel(prompts, batch);
    const examples = {
      images,
      examples: Int32Array.from(labels, (_, image) => image),
      source: { name, fingerprint },
      promptOf: (image: number) => labels[image]!,
      prompts,
    };
    const settings = { labelDropout, timeDistribution, batch, seed: BigInt(seed), signal };
    return { task: await flowTask(model, examples, settings), variance };
  } catch (error) {
    model?.dispose();
    images.dispose();
    throw error;
  }
}
