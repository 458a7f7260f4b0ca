import type { ModelKind } from '../model-kind.js';
import { checkNetwork, locatePipeline, pipelineFiles } from '../pipeline/directory.js';
import { transformerSchema } from './config.js';
import { flux2Classes, isDistilled } from './directory.js';
import { flux2Footprint, publishedFootprint } from './footprint.js';
import { distilledDrawing, flux2Drawing, loadFlux2Model, whyUnguided } from './model.js';
import { publishedNames } from './published.js';
import { flux2Components, isFlux2SingleFile } from './single-file.js';
import { flux2SingleFile } from './single-file-keys.js';
import { verifyFlux2 } from './verify.js';

const check = (directory: string): Promise<void> => checkNetwork(directory, flux2Classes, transformerSchema);

/** FLUX.2 [klein]. */
export const flux2Kind: ModelKind = {
  recognises: { pipeline: flux2Classes.pipeline },
  drawing: flux2Drawing,
  drawingOf: ({ json, path }) => (isDistilled(json, path) ? distilledDrawing : flux2Drawing),
  unguided: async ({ json, path, source }) => (isDistilled(json, path) ? whyUnguided(source) : undefined),
  load: ({ directory, source }, options) => loadFlux2Model(directory, source, options),
  files: ({ directory }) => pipelineFiles(directory, flux2Classes),
  async locate(directory, options) {
    await check(directory);
    return locatePipeline(directory, flux2Classes, options);
  },
  footprint: flux2Footprint,
  singleFile: flux2SingleFile,
  published: {
    names: publishedNames,
    isNamed: (hubName) => /flux\.?2-klein/i.test(hubName),
    configuration: 'flux2-klein-4b.json',
    footprint: publishedFootprint,
  },
  unpacking: { recognises: isFlux2SingleFile, components: flux2Components },
  verification: { check, verify: verifyFlux2 },
};
