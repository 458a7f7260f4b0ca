import { CheckpointError } from '../errors.js';
import { binding } from '../runtime/native/index.js';
import type { Tensor } from '../runtime/native/tensor.js';
import { expected } from '../schema/validate.js';

/** A layer of a network as a published single file has it: under another name, or with others in one matrix. */
export interface SingleFileLayer {
  /** The layer's name in the single file, behind the prefix of its network. */
  readonly single: string;
  /** The layers of the network whose rows stand there, one below the other. */
  readonly own: readonly string[];
  /** Whether the two halves of the rows, a shift and a scale, stand there the other way round. */
  readonly swapped?: boolean;
  /** Whether the matrix stands there as the kernel of a convolution of one pixel, [out, in, 1, 1]. */
  readonly pointwise?: boolean;
  /** What follows the layer's name in the names of its tensors; without it, `.weight` and `.bias`. */
  readonly tensors?: readonly string[];
}

/** A network that a published single file holds. */
export interface SingleFileNetwork {
  /** The folder in which a directory in diffusers' layout keeps its weights. */
  readonly folder: string;
  /** What the names of its tensors begin with in the single file. */
  readonly prefix: string;
  /**
   * The trainer of kohya's that knows the network, and the layers to which it applies an adapter, by their names in the
   * single file. Left out by one that none of them knows.
   */
  readonly kohya?: { readonly program: string; readonly layers: RegExp };
  /**
   * Whether layers, all of which it has by their own names, are spread over the blocks as no other network here has
   * them. Left out by one of which that never tells.
   */
  marks?(layers: readonly string[]): boolean;
  /**
   * The layers of a network, those that only some of its kind have among them.
   * @param names names of tensors or layers of it, in the single file or in the folder, which tell how many blocks it
   *   has; a dot in them may be an underscore
   */
  layersOf(names: readonly string[]): SingleFileLayer[];
}

/**
 * A network's tensors under the names of the single file, with the prefix.
 * @param tensors those of the folder, which stay as they are; what is not changed is among the results
 * @throws CheckpointError for tensors that no layer has, or a layer that is there in part
 */
export async function toSingleFile(
  network: SingleFileNetwork,
  tensors: Readonly<Record<string, Tensor>>,
): Promise<Record<string, Tensor>> {
  const left = new Set(Object.keys(tensors));
  const single: Record<string, Tensor> = {};
  for (const layer of network.layersOf([...left])) {
    for (const suffix of layer.tensors ?? ['.weight', '.bias']) {
      const names = layer.own.map((name) => name + suffix);
      const parts = names.flatMap((name) => tensors[name] ?? []);
      if (parts.length === 0) continue;
      if (parts.length < names.length)
        throw new CheckpointError(expected(network.folder, `all of ${names.join(', ')}`, String(parts.length)));
      single[network.prefix + layer.single + suffix] = await asOne(layer, parts);
      for (const name of names) left.delete(name);
    }
  }
  if (left.size === 0) return single;
  throw new CheckpointError(
    expected(network.folder, 'tensors that the single file has names for', [...left].slice(0, 8).join(', ')),
  );
}

async function asOne({ swapped, pointwise }: SingleFileLayer, parts: readonly Tensor[]): Promise<Tensor> {
  const first = parts[0]!;
  const [, ...row] = first.shape;
  const isMatrix = first.shape.length === 2;
  if (parts.length === 1 && !swapped && !(pointwise && isMatrix)) return first;
  const rows = parts.reduce((sum, { shape }) => sum + shape[0]!, 0);
  const ordered = swapped ? (await binding().splitRows(first, 2)).reverse() : parts;
  return binding().joinRows(ordered, [rows, ...row, ...(pointwise && isMatrix ? [1, 1] : [])]);
}
