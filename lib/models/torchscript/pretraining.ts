import { copyFile } from 'node:fs/promises';
import { basename, join } from 'node:path';

import { z } from 'zod';

import { ConfigError } from '../../errors.js';
import { makeDirectory } from '../../runtime/make-directory.js';
import { timeDistributions } from '../../runtime/native/choices.generated.js';
import { expected } from '../../schema/validate.js';
import { flowTask } from '../flow-task.js';
import { folderSettings, readImageFolder, type ImageShape } from '../image-folder.js';
import { pretraining } from '../pretraining.js';
import { checkPrompts } from './conditioning.js';
import { loadTorchScriptModel } from './model.js';
import { locatedIn, promptFiles, torchScriptDrawing, torchScriptSchema, type TorchScriptSettings } from './settings.js';

/** A network of one's own, by flow matching on images. */
export const torchScriptPretraining = pretraining({
  type: 'torchscript',
  model: torchScriptSchema.transform((settings) => locatedIn('.', settings)),
  settings: {
    data: z
      .strictObject({ ...folderSettings, name: folderSettings.name.default('folder') })
      .describe('The network is trained on these images.'),
    labelDropout: z
      .number()
      .min(0)
      .max(1)
      .default(0.1)
      .describe('This fraction of the prompts is dropped, so that the model also learns to draw without one.'),
    timeDistribution: z.enum(timeDistributions).default('logit_normal').describe('The times are drawn from this.'),
  },
  drawing: torchScriptDrawing,
  async start({ model: settings, data: { name, path }, timeDistribution, batch, device, ...config }, signal) {
    const shape = imageShape(settings);
    const files = await promptFiles(settings);
    // A module that takes no prompt has none to drop.
    const labelDropout = files ? config.labelDropout : 0;
    if (files && labelDropout > 0) checkPrompts(files, ['']);
    const { images, labels, variance, fingerprint } = await readImageFolder(path, shape, device, signal);
    try {
      const distinct = [...new Set(labels)].sort(new Intl.Collator('en', { numeric: true }).compare);
      if (files) checkPrompts(files, distinct);
      const model = await loadTorchScriptModel(settings, { device }, true);
      const task = await flowTask(
        model,
        {
          images,
          examples: Int32Array.from(labels, (_, image) => image),
          source: { name, fingerprint },
          promptOf: (image) => labels[image]!,
          prompts: distinct,
        },
        { labelDropout, timeDistribution, batch, seed: BigInt(config.seed), signal },
      );
      return { ...task, writeModel: (directory) => writeModel(directory, settings, variance) };
    } catch (error) {
      images.dispose();
      throw error;
    }
  },
});

/** @throws ConfigError for a model that is not trained on pixels, or whose pretrained velocity is another module's */
function imageShape({ shape, decoder, pretrained }: TorchScriptSettings): ImageShape {
  const [channels, height, width] = shape;
  if (decoder !== undefined || shape.length !== 3 || (channels !== 1 && channels !== 3))
    throw new ConfigError(
      expected(
        'model',
        'a network on pixels to pretrain, of shape [1 or 3, height, width] and without a decoder',
        `the shape [${shape.join(', ')}]${decoder === undefined ? '' : ' and a decoder'}`,
      ),
    );
  if (pretrained?.module !== undefined)
    throw new ConfigError(
      'model.pretrained.module: expected none, as pretraining makes the pretrained model; name it to fine-tune',
    );
  return { channels, height: height!, width: width! };
}

/** Copies the module and its conditioning beside the weights, so that the directory is all of the model. */
async function writeModel(directory: string, settings: TorchScriptSettings, variance: number): Promise<unknown> {
  const module = basename(settings.torchscript);
  await copyFile(settings.torchscript, join(directory, module));
  const files = await promptFiles(settings);
  const conditioning: Record<string, string> = {};
  if (files) makeDirectory(join(directory, 'conditioning'));
  for (const [index, [prompt, path]] of Object.entries(files ?? {}).entries()) {
    const name = `conditioning/${index}.safetensors`;
    await copyFile(path, join(directory, name));
    conditioning[prompt] = name;
  }
  return {
    ...settings,
    torchscript: module,
    weights: 'model.safetensors',
    ...(files && { conditioning }),
    latentVariance: settings.latentVariance ?? variance,
  };
}
