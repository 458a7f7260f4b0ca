import type { ModelKind } from '../model-kind.js';
import { checkNetwork, locatePipeline, pipelineFiles } from '../pipeline/directory.js';
import { transformerSchema } from './config.js';
import { sd3Classes } from './directory.js';
import { publishedFootprint, sd3Footprint } from './footprint.js';
import { loadSd3Model, sd3Drawing } from './model.js';
import { publishedNames } from './published.js';
import { isSd3SingleFile, sd3Components } from './single-file.js';
import { sd3SingleFile } from './single-file-keys.js';
import { verifySd3 } from './verify.js';

const check = (directory: string): Promise<void> => checkNetwork(directory, sd3Classes, transformerSchema);

/** Stable Diffusion 3 and 3.5. */
export const sd3Kind: ModelKind = {
  recognises: { pipeline: sd3Classes.pipeline },
  drawing: sd3Drawing,
  load: ({ directory, source }, options) => loadSd3Model(directory, source, options),
  files: ({ directory }) => pipelineFiles(directory, sd3Classes),
  async locate(directory, options) {
    await check(directory);
    return locatePipeline(directory, sd3Classes, options);
  },
  footprint: sd3Footprint,
  singleFile: sd3SingleFile,
  published: { names: publishedNames, footprint: publishedFootprint },
  unpacking: { recognises: isSd3SingleFile, components: sd3Components },
  verification: { check, verify: verifySd3 },
};
