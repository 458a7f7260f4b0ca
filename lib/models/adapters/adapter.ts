import { readdir } from 'node:fs/promises';
import { join } from 'node:path';

import { z } from 'zod';

import { expected } from '../../schema/validate.js';
import { checkOptions, checkText } from '../../schema/options.js';
import { hasManifest, verifyCheckpoint } from '../../files/checkpoints.js';
import { CheckpointError, ConfigError } from '../../errors.js';
import type { NativeFlowModel } from '../../runtime/native/binding.js';
import { binding } from '../../runtime/native/index.js';
import { refuseTaken, writeNewDirectory } from '../../files/new-directory.js';
import { disposeAll, readHeader } from '../../files/safetensors.js';
import type { Tensor } from '../../runtime/native/tensor.js';
import { diffusersLayout } from './diffusers.js';
import { adaptedModules, type AdapterConfig, type AdapterLayout, type AdapterLayoutName } from './layout.js';
import { peftLayout } from './peft.js';
import type { AdapterInfo, Model } from '../model.js';
import { parametersFile } from '../own-parameters.js';
import { makeDirectory } from '../../runtime/make-directory.js';

/** PEFT's first: it is what checkpoints hold. */
const layouts: Readonly<Record<AdapterLayoutName, AdapterLayout>> = { peft: peftLayout, diffusers: diffusersLayout };

async function layoutOf(directory: string): Promise<AdapterLayout> {
  const names = await readdir(directory).catch((error: unknown) => {
    if ((error as NodeJS.ErrnoException).code === 'ENOTDIR')
      throw new CheckpointError(`${directory} is a file: name the directory that holds it`, { cause: error });
    throw new CheckpointError(`${directory} holds no adapter: ${(error as Error).message}`, { cause: error });
  });
  const layout = Object.values(layouts).find(({ files }) => files.some((file) => names.includes(file)));
  if (layout) return layout;
  if (names.includes(parametersFile))
    throw new CheckpointError(
      `${directory} holds the own parameters of a model and no adapter, so there is nothing to merge or convert: ` +
        `name its ${parametersFile} as \`weights\` of the model`,
    );
  const others = names.filter((name) => /\.(safetensors|bin|pt|ckpt)$/.test(name));
  throw new CheckpointError(
    expected(
      directory,
      `an adapter, ${peftLayout.files.join(' and ')} (PEFT's layout) or ${diffusersLayout.tensorsFile} (diffusers')`,
      others.join(', ') || 'none',
    ),
  );
}

/** Reads an adapter's settings, in either layout. @throws CheckpointError if the directory holds no adapter */
export async function readAdapterConfig(directory: string): Promise<AdapterConfig> {
  return (await layoutOf(directory)).readConfig(directory);
}

/** What the user should know of an adapter's settings. */
export function adapterNote(directory: string, { alphaAssumed, rank }: AdapterConfig): string | undefined {
  return alphaAssumed
    ? `${directory} does not record alpha: ${rank}, its rank, is assumed, as diffusers does`
    : undefined;
}

/** @param tensors under the names of the network's trainable tensors */
async function writeAdapter(
  directory: string,
  tensors: Readonly<Record<string, Tensor>>,
  adapter: AdapterInfo,
  base: string | undefined,
  layout: AdapterLayoutName = 'peft',
): Promise<void> {
  makeDirectory(directory);
  await layouts[layout].write(directory, tensors, adapter, base);
}

/**
 * Checks that an adapter is of the rank and alpha of a network's: alpha is in no tensor's shape.
 * @throws CheckpointError that says what differs
 */
export async function checkAdapter(directory: string, adapter: AdapterInfo): Promise<void> {
  refuseOther(directory, await readAdapterConfig(directory), adapter);
}

function refuseOther(directory: string, stored: AdapterConfig, adapter: AdapterInfo): void {
  if (stored.rank !== adapter.rank || stored.alpha !== adapter.alpha) {
    throw new CheckpointError(
      expected(
        directory,
        `an adapter of rank ${adapter.rank} and alpha ${adapter.alpha}, as the model has`,
        `rank ${stored.rank} and alpha ${stored.alpha}`,
      ),
    );
  }
}

/**
 * An adapter's settings and its tensors, under the names of a network's trainable tensors.
 * @throws CheckpointError for another layout, or tensors that are not of one rank; a checkpoint that is not whole
 */
export async function readAdapterTensors(
  directory: string,
): Promise<{ config: AdapterConfig; modules: string[]; tensors: Record<string, Tensor> }> {
  const { prefix, tensorsFile, files, readConfig } = await layoutOf(directory);
  // A checkpoint's adapter is that of its manifest or none; an adapter from elsewhere has no manifest.
  if (await hasManifest(directory)) await verifyCheckpoint(directory, files);
  const config = await readConfig(directory);
  const path = join(directory, tensorsFile);
  const { entries } = await readHeader(path);
  const { modules } = adaptedModules(entries, prefix, config.rank, path);
  const stored = await binding().readTensors(path, entries);
  return {
    config,
    modules,
    tensors: Object.fromEntries(Object.entries(stored).map(([name, tensor]) => [name.slice(prefix.length), tensor])),
  };
}

/**
 * Copies an adapter's tensors into a network that has one of the same rank, alpha and targets, which the names tell.
 */
export async function readAdapter(directory: string, native: NativeFlowModel, adapter: AdapterInfo): Promise<void> {
  const { config, modules, tensors } = await readAdapterTensors(directory);
  try {
    refuseOther(directory, config, adapter);
    const known = new Set(native.trainableNames);
    const unknown = modules.filter((module) => !known.has(`${module}.lora_A.weight`));
    if (unknown.length) {
      const more = unknown.length > 8 ? ` and ${unknown.length - 8} more` : '';
      throw new CheckpointError(
        `${directory} adapts modules that the model's adapter does not: ${unknown.slice(0, 8).join(', ')}${more}`,
      );
    }
    await native.load('trainable', tensors);
  } finally {
    disposeAll(tensors);
  }
}

/**
 * Refuses to train an adapter whose rank is above the width of a layer: it could hold nothing that one of that width
 * could not.
 * @throws ConfigError that names the layer
 */
export function refuseWideAdapter({ native, adapter }: Pick<Model, 'native' | 'adapter'>): void {
  if (!adapter) return;
  const tensors = native.trainable();
  try {
    for (const [name, { shape }] of Object.entries(tensors)) {
      // A is [rank, in], B is [out, rank].
      const [, part] = /\.lora_([AB])\.weight$/.exec(name) ?? [];
      const width = part === 'A' ? shape[1] : part === 'B' ? shape[0] : undefined;
      if (width === undefined || adapter.rank <= width) continue;
      const layer = name.replace(/\.lora_[AB]\.weight$/, '');
      throw new ConfigError(expected('adapter.rank', `at most ${width}, the width of ${layer}`, adapter.rank));
    }
  } finally {
    disposeAll(tensors);
  }
}

type AdaptedModel = Pick<Model, 'native' | 'adapter' | 'source'>;

function adapterOf({ adapter }: AdaptedModel): AdapterInfo {
  if (adapter) return adapter;
  throw new ConfigError('the model was loaded without an adapter: give loadModel { adapter: { rank, alpha } }');
}

/** `Model.loadAdapter` of a model with a LoRA adapter. */
export async function loadAdapterOf(model: AdaptedModel, directory: string): Promise<void> {
  await readAdapter(directory, model.native, adapterOf(model));
}

/** `Model.saveAdapter` of a model with a LoRA adapter. */
export async function saveAdapterOf(
  model: AdaptedModel,
  directory: string,
  tensors?: Readonly<Record<string, Tensor>>,
): Promise<void> {
  const own = tensors ? undefined : model.native.trainable();
  try {
    await writeAdapter(directory, tensors ?? own!, adapterOf(model), model.source);
  } finally {
    if (own) disposeAll(own);
  }
}

/**
 * Copies an adapter into a new directory in the layout of choice.
 * @throws CheckpointError for an adapter that cannot be read, or an output that exists or cannot be written
 */
export async function exportAdapter(directory: string, out: string, layout: AdapterLayoutName): Promise<AdapterConfig> {
  checkText(directory, 'directory', 'exportAdapter');
  checkText(out, 'out', 'exportAdapter');
  checkOptions({ layout: z.enum(['peft', 'diffusers']) }, { layout }, 'exportAdapter');
  await refuseTaken(out);
  const { config, tensors } = await readAdapterTensors(directory);
  try {
    await writeNewDirectory(out, (aside) => writeAdapter(aside, tensors, config, config.base, layout));
  } finally {
    disposeAll(tensors);
  }
  return config;
}
