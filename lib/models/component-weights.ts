import { readdir } from 'node:fs/promises';
import { basename, join } from 'node:path';

import { z } from 'zod';

import { CheckpointError } from '../errors.js';
import { withWeights } from '../files/weights.js';
import type { NativeWeightFiles } from '../runtime/native/binding.js';
import { readJson } from '../schema/json.js';
import { expected, validate } from '../schema/validate.js';

/** What is asked of a kind of model that finds its files. */
export interface LocateOptions {
  /** Whether the network's weights have to be there; default true. */
  withWeights?: boolean;
}

/** Where a model's files are, for those who copy them. */
export interface StoredModel {
  directory: string;
  /** The folder of the network that adapters change, relative to the directory. */
  network: string;
  /** Its weights' files, of which each tensor is in one. */
  weights: string[];
  /** Folders that belong to the model. */
  folders: string[];
}

/** What diffusers and transformers call a component's weights. */
const stems = ['diffusion_pytorch_model', 'model'];

const indexSchema = z.object({ weight_map: z.record(z.string(), z.string().min(1)) });

/**
 * The files of one component's weights: one, or the shards that its index names. Of several variants (`model.fp16.…`)
 * the plain one is taken, else the only one there is.
 * @throws CheckpointError where there are none, several variants and no plain one, or a shard is missing
 */
export async function locateWeights(directory: string): Promise<string[]> {
  let names: string[];
  try {
    names = await readdir(directory);
  } catch (error) {
    throw new CheckpointError(`cannot read ${directory}: ${(error as Error).message}`, { cause: error });
  }
  const name = chooseWeights(names, directory);
  return name.endsWith('.json') ? shardsOf(directory, name, names) : [join(directory, name)];
}

/**
 * Chooses among the names in a component's folder the file of its weights, or the index of their shards.
 * @param directory the folder, for messages
 * @param variant the variant that is wanted, such as `fp16`; left out, as {@link locateWeights} says
 * @throws CheckpointError where there is none, or more than one
 */
export function chooseWeights(names: readonly string[], directory: string, variant?: string): string {
  for (const stem of stems) {
    const found = weightsNamed(names, stem);
    if (found.length === 0) continue;
    const wanted = found.filter((each) => each.variant === variant);
    const chosen = wanted.length || variant !== undefined ? wanted : found;
    const list = (chosen.length ? chosen : found).map(({ name }) => name);
    if (chosen.length === 0)
      throw new CheckpointError(expected(directory, `weights of the variant ${variant}`, list.join(' and ')));
    if (chosen.length > 1) {
      throw new CheckpointError(
        expected(directory, 'one file of weights', list.join(' and ')) +
          `; remove the other${chosen.length > 2 ? 's' : ''}`,
      );
    }
    return chosen[0]!.name;
  }
  throw new CheckpointError(
    expected(
      directory,
      `${stems.map((stem) => `${stem}.safetensors`).join(' or ')}, or shards with an index ` +
        `(${stems.at(-1)}.safetensors.index.json)`,
      'no weights',
    ) +
      (names.some((name) => name.endsWith('.bin')) ? '; .bin files are not read: convert them' : '') +
      (names.some((name) => name.endsWith('.gguf')) ? '; .gguf files hold quantized weights and are not read' : ''),
  );
}

/** The files of weights, or indices of their shards, among names, each with its variant. */
function weightsNamed(names: readonly string[], stem: string): { name: string; variant: string | undefined }[] {
  const single = new RegExp(`^${stem}(?:\\.([\\w-]+))?\\.safetensors$`);
  const index = new RegExp(`^${stem}\\.safetensors\\.index(?:\\.([\\w-]+))?\\.json$`);
  return names.flatMap((name) => {
    const match = single.exec(name) ?? index.exec(name);
    // Shards of one variant look like variants of their own: model.fp16-00001-of-00002.safetensors.
    return match && !/-\d+-of-\d+$/.test(match[1] ?? '') ? [{ name, variant: match[1] }] : [];
  });
}

/** The variants of a component's weights by the names in its folder, such as `fp16`; the plain one is none. */
export const variantsOf = (names: readonly string[]): string[] =>
  stems.flatMap((stem) => weightsNamed(names, stem)).flatMap(({ variant }) => (variant === undefined ? [] : [variant]));

/** As {@link locateWeights}; none where they are not all there. */
export const weightsIn = (directory: string): Promise<string[]> => locateWeights(directory).catch(() => []);

async function shardsOf(directory: string, index: string, names: readonly string[]): Promise<string[]> {
  const path = join(directory, index);
  const shards = shardsNamed(await readJson(path), path);
  const missing = shards.filter((shard) => !names.includes(shard));
  if (missing.length) {
    throw new CheckpointError(
      `${directory} lacks ${missing.length} of the ${shards.length} shards that ${index} names: ` +
        `${missing.join(', ')}; download ${missing.length > 1 ? 'them' : 'it'} again`,
    );
  }
  return shards.map((shard) => join(directory, shard));
}

/**
 * The names of the shards in an index of weights.
 * @throws ConfigError for JSON of another form, CheckpointError for shards elsewhere, or none
 */
export function shardsNamed(json: unknown, path: string): string[] {
  const { weight_map: map } = validate(indexSchema, json, path);
  const shards = [...new Set(Object.values(map))];
  const foreign = shards.find((shard) => shard !== basename(shard));
  if (foreign !== undefined)
    throw new CheckpointError(`${path} names the shard "${foreign}", which is not in its own directory`);
  if (shards.length === 0) throw new CheckpointError(`${path} names no tensors`);
  return shards;
}

/**
 * Makes a network from one component's weights.
 * @throws CheckpointError as {@link locateWeights} does, and for files or tensors that do not fit; what `make` throws
 */
export async function withComponent<Network>(
  directory: string,
  make: (weights: NativeWeightFiles) => Promise<Network>,
): Promise<Network> {
  const files = await locateWeights(directory);
  return withWeights(
    directory,
    files.map((path) => ({ path })),
    make,
  );
}
