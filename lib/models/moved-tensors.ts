// A model's weights in one file, as ComfyUI and the authors of a model store them, and what becomes of them in a
// directory of diffusers.

import { CheckpointError } from '../errors.js';
import type { TensorEntry } from '../files/safetensors-header.js';
import { expected } from '../schema/validate.js';
import type { SingleFileLayer, SingleFileNetwork } from './single-file.js';

/** A tensor of a component, as bytes of the single file: rearranged, and never computed with. */
export interface MovedTensor extends Pick<TensorEntry, 'name' | 'dtype' | 'stored' | 'shape'> {
  /** Its bytes in their order, counted from the data section's start; none of one that `bytes` holds. */
  ranges: readonly { begin: number; end: number }[];
  /** The bytes of a tensor that the file leaves out. */
  bytes?: Uint8Array;
}

/** A component in a single file. */
export interface MovedComponent {
  /** Its folder in diffusers' layout. */
  folder: string;
  /** The name of its file of weights. */
  file: string;
  tensors: readonly MovedTensor[];
}

/** The whole of an entry under another name. */
export const moved = ({ dtype, stored, shape, begin, end }: TensorEntry, name: string): MovedTensor => ({
  name,
  dtype,
  ...(stored && { stored }),
  shape,
  ranges: [{ begin, end }],
});

/** Rows of an entry, of `count` equal parts of its first dimension, under one name, in the order of `parts`. */
function movedParts(
  entry: TensorEntry,
  name: string,
  count: number,
  parts: readonly number[],
  path: string,
): MovedTensor {
  if ((entry.shape[0] ?? 0) % count) {
    const rows = `rows that go into ${count} equal parts`;
    throw new CheckpointError(expected(`${path}: ${entry.name}`, rows, `[${entry.shape.join(', ')}]`));
  }
  const bytes = (entry.end - entry.begin) / count;
  const [rows = 0, ...rest] = entry.shape;
  return {
    ...moved(entry, name),
    shape: [(rows / count) * parts.length, ...rest],
    ranges: parts.map((part) => ({ begin: entry.begin + part * bytes, end: entry.begin + (part + 1) * bytes })),
  };
}

/** An entry of a single file, and its name behind the prefix of its network. */
export interface SingleFileEntry {
  entry: TensorEntry;
  name: string;
}

/**
 * The tensors of a network under the names of its folder.
 * @param path the single file, for messages
 * @returns the names of entries that belong to no layer as `strangers`
 * @throws CheckpointError for a matrix of several layers whose rows are not theirs
 */
export function fromSingleFile(
  network: SingleFileNetwork,
  entries: readonly SingleFileEntry[],
  path: string,
): { tensors: MovedTensor[]; strangers: string[] } {
  const left = new Map(entries.map(({ entry, name }) => [name, entry]));
  const tensors = network.layersOf([...left.keys()]).flatMap((layer) =>
    (layer.tensors ?? ['.weight', '.bias']).flatMap((suffix) => {
      const name = layer.single + suffix;
      const entry = left.get(name);
      if (!entry) return [];
      left.delete(name);
      return partsOf(layer, entry, suffix, path);
    }),
  );
  return { tensors, strangers: Array.from(left.values(), ({ name }) => name) };
}

function partsOf(
  { own, swapped, pointwise }: SingleFileLayer,
  entry: TensorEntry,
  suffix: string,
  path: string,
): MovedTensor[] {
  if (own.length > 1) return own.map((name, part) => movedParts(entry, name + suffix, own.length, [part], path));
  const name = own[0]! + suffix;
  if (swapped) return [movedParts(entry, name, 2, [1, 0], path)];
  const tensor = moved(entry, name);
  return [pointwise && entry.shape.length > 2 ? { ...tensor, shape: entry.shape.slice(0, 2) } : tensor];
}
