import { readdir } from 'node:fs/promises';
import { join } from 'node:path';

import { descriptionsIn } from '../../files/content.js';
import { locateWeights, weightsIn } from '../component-weights.js';
import type { LocateOptions, ModelKind, StoredModel } from '../model-kind.js';
import { checkSd3Classes, pipelineClass, pipelineComponents } from './directory.js';
import { publishedFootprint, sd3Footprint } from './footprint.js';
import { loadSd3Model, sd3Drawing } from './model.js';
import { publishedNames } from './published.js';
import { isSd3SingleFile, sd3Components } from './single-file.js';
import { sd3SingleFile } from './single-file-keys.js';
import { verifySd3 } from './verify.js';

/** Stable Diffusion 3 and 3.5. */
export const sd3Kind: ModelKind = {
  recognises: { pipeline: pipelineClass },
  drawing: sd3Drawing,
  load: ({ directory, source }, options) => loadSd3Model(directory, source, options),
  files,
  locate,
  footprint: sd3Footprint,
  singleFile: sd3SingleFile,
  published: { names: publishedNames, footprint: publishedFootprint },
  unpacking: { recognises: isSd3SingleFile, components: sd3Components },
  verification: { check: checkSd3Classes, verify: verifySd3 },
};

async function files(directory: string): Promise<string[]> {
  const all = [join(directory, 'model_index.json')];
  for (const component of pipelineComponents) {
    const folder = join(directory, component);
    all.push(...(await descriptionsIn(folder)), ...(await weightsIn(folder)));
  }
  return all;
}

async function locate(directory: string, { withWeights = true }: LocateOptions = {}): Promise<StoredModel> {
  await checkSd3Classes(directory);
  const names = new Set(await readdir(directory));
  return {
    directory,
    network: 'transformer',
    weights: withWeights ? await locateWeights(join(directory, 'transformer')) : [],
    folders: pipelineComponents.filter((name) => names.has(name)),
  };
}
