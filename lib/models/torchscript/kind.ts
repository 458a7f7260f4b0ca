import { stat } from 'node:fs/promises';
import { basename } from 'node:path';

import { refuseNoArchive } from '../../files/torchscript.js';
import { readHeader } from '../../files/safetensors.js';
import { ConfigError } from '../../errors.js';
import { validate } from '../../schema/validate.js';
import type { ModelKind } from '../model-kind.js';
import { checkConditioning, checkPrompts } from './conditioning.js';
import { loadTorchScriptModel } from './model.js';
import { torchScriptPretraining } from './pretraining.js';
import {
  locatedIn,
  mapPaths,
  promptFiles,
  torchScriptDrawing,
  torchScriptSchema,
  type TorchScriptSettings,
} from './settings.js';

const settingsOf = (directory: string, json: unknown): TorchScriptSettings =>
  locatedIn(directory, validate(torchScriptSchema, json, 'model'));

/** The files of the networks themselves. */
const modulesOf = ({ torchscript, decoder, pretrained }: TorchScriptSettings): string[] =>
  [...new Set([torchscript, decoder, pretrained?.module])].filter((path) => path !== undefined);

/** A velocity network of one's own, in TorchScript. */
export const torchScriptKind: ModelKind = {
  recognises: { type: 'torchscript' },
  hasAdapter: false,
  drawing: torchScriptDrawing,
  load: ({ directory, json }, options) => loadTorchScriptModel(settingsOf(directory, json), options),
  async files({ directory, json }) {
    const settings = settingsOf(directory, json);
    const { weights } = settings;
    const prompts = Object.values((await promptFiles(settings)) ?? {});
    return [...modulesOf(settings), ...(weights === undefined ? [] : [weights]), ...new Set(prompts)];
  },
  identity: (json) => mapPaths(settingsOf('.', json), (path) => basename(path)),
  locate: async () => {
    throw new ConfigError(
      'the parameters of a TorchScript module are trained themselves, so there is no adapter to merge: name them as ' +
        '`weights` of the model, such as "weights": "checkpoints/step-100/parameters.safetensors"',
    );
  },
  async parts({ directory, json }, { prompts, negativePrompt }) {
    const settings = settingsOf(directory, json);
    const files = await promptFiles(settings);
    if (files) {
      await checkConditioning(files);
      checkPrompts(files, [...prompts, ...(negativePrompt ? [negativePrompt] : [])]);
    }
    const paths = modulesOf(settings);
    for (const path of paths) await refuseNoArchive(path);
    if (settings.weights !== undefined) await readHeader(settings.weights);
    return Promise.all(paths.map(async (path) => ({ name: basename(path), bytes: (await stat(path)).size })));
  },
  pretraining: torchScriptPretraining,
};
