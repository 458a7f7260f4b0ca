import { copyFile } from 'node:fs/promises';
import { basename, join } from 'node:path';

import { ConfigError } from '../../errors.js';
import { makeDirectory } from '../../runtime/make-directory.js';
import { folderTask, folderTaskSettings, imageShape } from '../folder-task.js';
import { pretraining } from '../pretraining.js';
import { checkPrompts } from './conditioning.js';
import { loadTorchScriptModel } from './model.js';
import { locatedIn, promptFiles, torchScriptDrawing, torchScriptSchema, type TorchScriptSettings } from './settings.js';

/** A network of one's own, by flow matching on images. */
export const torchScriptPretraining = pretraining({
  type: 'torchscript',
  model: torchScriptSchema.transform((settings) => locatedIn('.', settings)),
  settings: folderTaskSettings,
  drawing: torchScriptDrawing,
  async start({ model: settings, ...config }, signal) {
    const { shape, decoder, pretrained } = settings;
    const files = await promptFiles(settings);
    // A module that takes no prompt has none to drop.
    const labelDropout = files ? config.labelDropout : 0;
    if (files && labelDropout > 0) checkPrompts(files, ['']);
    const images = imageShape(shape, decoder !== undefined);
    if (pretrained?.module !== undefined)
      throw new ConfigError(
        'model.pretrained.module: expected none, as pretraining makes the pretrained model; name it to fine-tune',
      );
    const makeModel = async (prompts: readonly string[]) => {
      if (files) checkPrompts(files, prompts);
      return loadTorchScriptModel(settings, { device: config.device }, true);
    };
    const { task, variance } = await folderTask({ ...config, labelDropout }, images, makeModel, signal);
    return { ...task, writeModel: (directory) => writeModel(directory, settings, variance) };
  },
});

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
