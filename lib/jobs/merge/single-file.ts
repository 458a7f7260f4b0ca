import { dirname, join } from 'node:path';

import { disposeAll, readHeader, saveTensors } from '../../files/safetensors.js';
import type { TensorEntry } from '../../files/safetensors-header.js';
import { locateWeights } from '../../models/component-weights.js';
import type { StoredModel } from '../../models/component-weights.js';
import { singleFileOf } from '../../models/registry.js';
import { toSingleFile } from '../../models/single-file.js';
import { makeDirectory } from '../../runtime/make-directory.js';
import { binding } from '../../runtime/native/index.js';
import type { Tensor } from '../../runtime/native/tensor.js';

/**
 * Writes a model's networks into one file, under the names of the published single file.
 * @param read the tensors of a file of the network that adapters change
 * @throws ConfigError for a kind of model of which there are no single files, CheckpointError for weights that are
 *   missing or have no name there
 */
export async function writeSingleFile(
  out: string,
  source: string,
  { directory, network: adapted, weights }: StoredModel,
  read: (path: string, entries: readonly TensorEntry[]) => Promise<Record<string, Tensor>>,
): Promise<void> {
  const networks = await singleFileOf(source);
  const mapped: Record<string, Tensor>[] = [];
  const single: Record<string, Tensor> = {};
  try {
    for (const network of networks) {
      const isAdapted = network.folder === adapted;
      const files = isAdapted ? weights : await locateWeights(join(directory, network.folder));
      const tensors: Record<string, Tensor> = {};
      mapped.push(tensors);
      for (const path of files) {
        const { entries } = await readHeader(path);
        Object.assign(tensors, await (isAdapted ? read(path, entries) : binding().mapTensors(path, entries)));
      }
      Object.assign(single, await toSingleFile(network, tensors));
    }
    makeDirectory(dirname(out));
    await saveTensors(out, single, { format: 'pt' });
  } finally {
    for (const tensors of [...mapped, single]) disposeAll(tensors);
  }
}
