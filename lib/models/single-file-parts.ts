// The parts of a single file of a model: whose they are, and which folders of diffusers' layout they become.
import { CheckpointError } from '../errors.js';
import type { TensorEntry } from '../files/safetensors-header.js';
import { fromSingleFile, moved, type MovedComponent, type SingleFileEntry } from './moved-tensors.js';
import type { SingleFileNetwork } from './single-file.js';

/** A part of a single file. */
export interface SingleFilePart {
  /** What the names of its tensors begin with. */
  readonly prefixes: readonly string[];
  /** The names, without a prefix, by which a file is known that holds this part alone. */
  readonly alone?: RegExp;
  /** The folder and the file of diffusers' layout that it becomes. */
  readonly folder: string;
  readonly file: string;
  /** Left out by one whose tensors have the names of the folder behind the prefix. */
  readonly network?: SingleFileNetwork;
}

/** A part with names of its own, which becomes one of diffusers' components. */
export const networkPart = (network: SingleFileNetwork, otherPrefix: string, alone?: RegExp): SingleFilePart => ({
  prefixes: [network.prefix, otherPrefix],
  ...(alone && { alone }),
  folder: network.folder,
  file: 'diffusion_pytorch_model.safetensors',
  network,
});

/** A part with transformers' names, which becomes one of its components. */
export const textEncoderPart = (names: readonly string[], folder: string, alone?: RegExp): SingleFilePart => ({
  prefixes: names.map((name) => `text_encoders.${name}.transformer.`),
  ...(alone && { alone }),
  folder,
  file: 'model.safetensors',
});

/** Not weights: a buffer of numbers from 0, and the scale of a loss. */
const isNoWeight = (name: string): boolean => /(^|\.)(position_ids|logit_scale)$/.test(name);

/**
 * The components in a single file, under the names that diffusers and transformers give their tensors.
 * @throws CheckpointError that lists names which belong to no part of the model
 */
export function componentsIn(
  parts: readonly SingleFilePart[],
  entries: readonly TensorEntry[],
  path: string,
): MovedComponent[] {
  const bare = parts.find(({ alone }) => alone && entries.some(({ name }) => alone.test(name)));
  const strangers: string[] = [];
  const found = new Map<SingleFilePart, SingleFileEntry[]>();
  for (const entry of entries) {
    if (isNoWeight(entry.name)) continue;
    const named = parts.find(({ prefixes }) => prefixes.some((prefix) => entry.name.startsWith(prefix)));
    const owner = named ?? bare;
    const prefix = named?.prefixes.find((each) => entry.name.startsWith(each)) ?? '';
    if (!owner) strangers.push(entry.name);
    else found.set(owner, [...(found.get(owner) ?? []), { entry, name: entry.name.slice(prefix.length) }]);
  }
  const components = [...found].map(([{ folder, file, network }, members]) => {
    if (!network) return { folder, file, tensors: members.map(({ entry, name }) => moved(entry, name)) };
    const own = fromSingleFile(network, members, path);
    strangers.push(...own.strangers);
    return { folder, file, tensors: own.tensors };
  });
  if (strangers.length === 0) return components;
  const more = strangers.length > 8 ? ` and ${strangers.length - 8} more` : '';
  throw new CheckpointError(
    `${path} has tensors that belong to no part of this model: ${strangers.slice(0, 8).join(', ')}${more}`,
  );
}
