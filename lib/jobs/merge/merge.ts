import { copyFile, readdir, stat } from 'node:fs/promises';
import { basename, join } from 'node:path';

import { z } from 'zod';

import { expected, validate } from '../../schema/validate.js';
import { CheckpointError, ConfigError } from '../../errors.js';
import type { AdapterConfig } from '../../models/adapters/layout.js';
import { readAdapter } from '../../models/adapter-files.js';
import type { StoredModel } from '../../models/component-weights.js';
import { baseModel, locateModel } from '../../models/registry.js';
import { binding } from '../../runtime/native/index.js';
import { linkOrCopy } from '../../files/link-or-copy.js';
import { refuseTaken, writeNewDirectory } from '../../files/new-directory.js';
import type { TensorEntry } from '../../files/safetensors-header.js';
import { disposeAll, readHeader, saveTensors } from '../../files/safetensors.js';
import { refuseScaled } from '../../files/weights.js';
import type { Tensor } from '../../runtime/native/tensor.js';
import { writeSingleFile } from './single-file.js';
import { makeDirectory } from '../../runtime/make-directory.js';

/** What {@link mergeAdapter} did. */
export interface MergeResult {
  /** What was folded in. */
  adapter: AdapterConfig;
  /** Names of the layers whose weights were changed. */
  modules: string[];
}

const text = z.string().min(1);
const mergeSchema = z.strictObject({
  model: text.optional(),
  adapter: text,
  out: text,
  for: z.enum(['diffusers', 'comfyui']).optional(),
});

/**
 * Writes a copy of a model with an adapter folded into its weights, W + (alpha/rank) B A, in the weights' own dtype: it
 * loads as the model does, and draws what the model draws with the adapter. Weights that stay the same are hard links
 * where the file system has them.
 *
 * @param options `model`: `'digits'` or a model directory; default: the one that the adapter says it was trained on.
 *   `adapter`: a directory in PEFT's layout or diffusers', or a file for diffusers, sd-scripts or ComfyUI. `out`: a new
 *   directory. With `for: 'comfyui'` it is a new file whose name ends in .safetensors, of the network that draws and
 *   the autoencoder under the names of the published single file, without text encoders
 * @throws CheckpointError for an adapter of other layers than the model's, and an output that exists or cannot be
 * written; ConfigError for a kind of model of which there are no single files
 */
export async function mergeAdapter(options: {
  model?: string | undefined;
  adapter: string;
  out: string;
  for?: 'diffusers' | 'comfyui' | undefined;
}): Promise<MergeResult> {
  validate(mergeSchema, options, 'mergeAdapter');
  const { model, adapter, out, for: layout = 'diffusers' } = options;
  const isFile = layout === 'comfyui';
  if (isFile && !out.endsWith('.safetensors'))
    throw new ConfigError(expected('out, for comfyui', 'a file whose name ends in .safetensors', out));
  await refuseTaken(out, isFile ? 'file' : 'directory');
  const { config, modules, tensors } = await readAdapter(adapter);
  try {
    const source = model ?? (await baseModel(adapter, config.base));
    const stored = await locateModel(source);
    const headers = await Promise.all(stored.weights.map(async (path) => ({ path, ...(await readHeader(path)) })));
    for (const { path, entries } of headers) refuseScaled(entries, path);
    checkModules(
      adapter,
      source,
      modules,
      tensors,
      headers.flatMap(({ entries }) => entries),
    );
    if (isFile) {
      await writeSingleFile(out, source, stored, (path, entries) => mapMerged(path, entries, tensors, config));
      return { adapter: config, modules };
    }
    await writeNewDirectory(out, async (aside) => {
      await copyOthers(stored, aside);
      for (const { path, entries, metadata } of headers) {
        const merged = await mapMerged(path, entries, tensors, config);
        try {
          await saveTensors(join(aside, stored.network, basename(path)), merged, metadata);
        } finally {
          disposeAll(merged);
        }
      }
    });
    return { adapter: config, modules };
  } finally {
    disposeAll(tensors);
  }
}

function checkModules(
  adapter: string,
  source: string,
  modules: readonly string[],
  tensors: Readonly<Record<string, Tensor>>,
  entries: readonly TensorEntry[],
): void {
  const shapes = new Map(entries.map(({ name, shape }) => [name, shape]));
  const problems = modules.flatMap((module) => {
    const shape = shapes.get(`${module}.weight`);
    if (!shape) return [`${module}.weight: unknown to the model`];
    const wanted = [tensors[`${module}.lora_B.weight`]!.shape[0], tensors[`${module}.lora_A.weight`]!.shape[1]];
    return String(shape) === String(wanted)
      ? []
      : [expected(`${module}.weight`, `shape [${wanted.join(', ')}] as the adapter has`, `[${shape.join(', ')}]`)];
  });
  if (problems.length === 0) return;
  const more = problems.length > 8 ? `\n  and ${problems.length - 8} more` : '';
  throw new CheckpointError(`${adapter} does not fit ${source}:\n  ${problems.slice(0, 8).join('\n  ')}${more}`);
}

/** The tensors of one file of weights, memory-mapped where the adapter does not change them. */
async function mapMerged(
  path: string,
  entries: readonly TensorEntry[],
  adapter: Readonly<Record<string, Tensor>>,
  { alpha, rank }: AdapterConfig,
): Promise<Record<string, Tensor>> {
  const tensors = await binding().mapTensors(path, [...entries]);
  try {
    for (const [name, weight] of Object.entries(tensors)) {
      const module = name.endsWith('.weight') ? name.slice(0, -'.weight'.length) : undefined;
      const a = adapter[`${module}.lora_A.weight`];
      if (!a) continue;
      tensors[name] = await binding().mergeLora(weight, a, adapter[`${module}.lora_B.weight`]!, alpha / rank);
      weight.dispose();
    }
    return tensors;
  } catch (error) {
    disposeAll(tensors);
    throw error;
  }
}

const isWeights = (name: string): boolean => /\.(safetensors|bin|pt|pth|ckpt|msgpack|onnx)$/.test(name);

/**
 * Everything but the network's weights, and what lies around a model without being of it: adapters, goldens, the same
 * weights in other formats.
 */
async function copyOthers({ directory, network, folders }: StoredModel, out: string): Promise<void> {
  for (const folder of ['.', ...folders]) {
    makeDirectory(join(out, folder));
    for (const entry of await readdir(join(directory, folder), { withFileTypes: true })) {
      const from = join(directory, folder, entry.name);
      if (isWeights(entry.name) && (folder === '.' || folder === network)) continue;
      // A link may lead to a folder: a component that several models share, which is copied as one of `folders`.
      if (entry.isDirectory() || (entry.isSymbolicLink() && (await stat(from)).isDirectory())) continue;
      await (isWeights(entry.name) ? linkOrCopy : copyFile)(from, join(out, folder, entry.name));
    }
  }
}
