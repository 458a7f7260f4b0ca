// A model's weights in one file, as ComfyUI and the authors of a model store them, and what becomes of them in a
// directory of diffusers.

import type { TensorEntry } from '../files/safetensors-header.js';

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
export function movedParts(entry: TensorEntry, name: string, count: number, parts: readonly number[]): MovedTensor {
  const bytes = (entry.end - entry.begin) / count;
  const [rows = 0, ...rest] = entry.shape;
  return {
    ...moved(entry, name),
    shape: [(rows / count) * parts.length, ...rest],
    ranges: parts.map((part) => ({ begin: entry.begin + part * bytes, end: entry.begin + (part + 1) * bytes })),
  };
}
