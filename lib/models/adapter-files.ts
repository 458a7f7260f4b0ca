// Adapters of every kind of model, which the names of their layers tell.
import { dirname } from 'node:path';

import { z } from 'zod';

import { ConfigError } from '../errors.js';
import { refuseTaken, writeNewDirectory } from '../files/new-directory.js';
import { disposeAll } from '../files/safetensors.js';
import { makeDirectory } from '../runtime/make-directory.js';
import { checkOptions, checkText } from '../schema/options.js';
import { expected } from '../schema/validate.js';
import { refuseOther } from './adapters/adapter.js';
import { networksWith } from './adapters/carry.js';
import { writeDiffusers } from './adapters/diffusers.js';
import { writeKohya } from './adapters/kohya.js';
import { type Adapter, type AdapterConfig, type AdapterLayoutName, adapterLayoutNames } from './adapters/layout.js';
import { writePeft } from './adapters/peft.js';
import { readAdapterOf } from './adapters/read.js';
import { modelKinds } from './kinds.js';
import type { AdapterInfo } from './model.js';
import { publishedModels, singleFileOf } from './registry.js';
import type { SingleFileNetwork } from './single-file.js';

/** The networks that adapters change, of the kinds whose published single files have names of their own. */
const networks = modelKinds.flatMap(({ singleFile }) => singleFile?.slice(0, 1) ?? []);

/**
 * Reads an adapter: a directory in PEFT's layout or diffusers', or a file of diffusers', of kohya's sd-scripts or of
 * ComfyUI.
 * @throws CheckpointError for files that are damaged or hold no plain LoRA of the network that draws, with what they
 *   hold by its name; a checkpoint that is not whole
 */
export const readAdapter = (path: string): Promise<Adapter> => readAdapterOf(path, networks);

/** An adapter's settings alone. @throws as {@link readAdapter} */
export async function readAdapterConfig(path: string): Promise<AdapterConfig> {
  const { config, tensors } = await readAdapter(path);
  disposeAll(tensors);
  return config;
}

/**
 * Checks that an adapter is of the rank and alpha of a network's.
 * @throws CheckpointError that says what differs
 */
export async function checkAdapter(path: string, adapter: AdapterInfo): Promise<void> {
  refuseOther(path, await readAdapterConfig(path), adapter);
}

/**
 * Copies an adapter into the layout of choice.
 * @param path a directory in PEFT's layout or diffusers', or a file of diffusers', of kohya's sd-scripts or of ComfyUI
 * @param out a directory that is new, or for `'kohya'` and `'comfyui'` a new file whose name ends in .safetensors
 * @param options `model`: the model that it was trained on, a directory, a name on the hub or that of a published
 *   model, such as `'sd3.5-medium'`: needed for `'kohya'` and `'comfyui'` where neither the layers nor the adapter's
 *   files tell of which kind it is
 * @throws CheckpointError for an adapter that cannot be read, or an output that exists or cannot be written;
 *   ConfigError for a model or layers that the program of that layout has no names for, and layers that several have
 */
export async function exportAdapter(
  path: string,
  out: string,
  layout: AdapterLayoutName,
  options: { model?: string | undefined } = {},
): Promise<AdapterConfig> {
  checkText(path, 'path', 'exportAdapter');
  checkText(out, 'out', 'exportAdapter');
  checkOptions({ layout: z.enum(adapterLayoutNames) }, { layout }, 'exportAdapter');
  checkOptions({ model: z.string().min(1) }, options, 'exportAdapter options');
  const isFile = layout === 'kohya' || layout === 'comfyui';
  if (isFile && !out.endsWith('.safetensors'))
    throw new ConfigError(expected(`out, for ${layout}`, 'a file whose name ends in .safetensors', out));
  await refuseTaken(out, isFile ? 'file' : 'directory');
  const { config, modules, tensors } = await readAdapter(path);
  try {
    if (isFile) {
      const network = await networkOf(path, modules, config.base, options.model);
      makeDirectory(dirname(out));
      await writeKohya(out, tensors, config, config.base, layout, network);
    } else {
      const write = layout === 'peft' ? writePeft : writeDiffusers;
      await writeNewDirectory(out, (aside) => write(aside, tensors, config, config.base));
    }
  } finally {
    disposeAll(tensors);
  }
  return config;
}

/**
 * The network that an adapter is of.
 * @param base the model that it says it was trained on
 * @param model the one that the user says
 */
async function networkOf(
  path: string,
  modules: readonly string[],
  base: string | undefined,
  model: string | undefined,
): Promise<SingleFileNetwork> {
  const found = networksWith(modules, networks);
  const has = (network: SingleFileNetwork | undefined) => network && networksWith(modules, [network]).length > 0;
  if (model !== undefined) {
    const [own] = await singleFileOf(model);
    if (own && has(own)) return own;
    throw new ConfigError(expected('model', `one that has the layers of ${path}`, model));
  }
  const [first, ...others] = found;
  if (!first) {
    throw new ConfigError(
      `${path}: ComfyUI and kohya's trainers have no names for the layers of this model, such as ${modules[0]}; it ` +
        'can be exported for diffusers or peft',
    );
  }
  if (others.length === 0) return first;
  const [own] = base === undefined ? [] : await singleFileOf(base).catch(() => []);
  if (own && has(own)) return own;
  const marked = found.filter((network) => network.marks?.(modules));
  if (marked.length === 1) return marked[0]!;
  throw new ConfigError(
    `${path}: models of ${found.length} kinds have layers of these names, such as ${modules[0]}, and it does not ` +
      `name one that is here: name the model that it was trained on (--model), or one of its kind: ` +
      publishedModels.join(', '),
  );
}
