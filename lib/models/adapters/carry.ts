// Adapters between a network's own names and those of its published single file, in which some layers are one matrix.
import { binding } from '../../runtime/native/index.js';
import { Tensor } from '../../runtime/native/tensor.js';
import { expected } from '../../schema/validate.js';
import type { SingleFileLayer, SingleFileNetwork } from '../single-file.js';
import type { LoraPair } from './layout.js';
import { notLora, type Naming } from './stored.js';

/** A pair, and what its product is scaled by. */
export interface StoredUpdate extends LoraPair {
  /** The rank times the factor of B A. */
  alpha: number;
}

const flatten = (name: string): string => name.replaceAll('.', '_');

/**
 * Pairs under the names of a file, by the network's own names of their layers. Behind the prefixes of PEFT and
 * diffusers there may be the names of the single file, too.
 * @throws CheckpointError for layers that no known network has
 */
export async function toOwnNames(
  pairs: ReadonlyMap<string, StoredUpdate>,
  { single = false, flat = false, prefix }: Naming,
  networks: readonly SingleFileNetwork[],
  path: string,
): Promise<Map<string, StoredUpdate>> {
  const found = [...pairs.keys()];
  const written = flat ? flatten : (name: string) => name;
  const tableBy = (namesOf: (layer: SingleFileLayer) => readonly string[]) =>
    networks
      .map((network) => tableOf(network, found, (layer) => namesOf(layer).map(written)))
      .find((table) => found.every((name) => table.has(name)));
  const own = single ? undefined : tableBy((layer) => layer.own);
  const bySingle = own || (flat && !single) ? undefined : tableBy((layer) => [layer.single]);
  if (!single && !flat && !bySingle) return new Map(pairs);
  const table = own ?? bySingle;
  if (!table) {
    const names = found.map((name) => prefix + name);
    const more = names.length > 3 ? ` and ${names.length - 3} more` : '';
    throw notLora(path, [
      expected('layers', 'those of one network that is known here', names.slice(0, 3).join(', ') + more),
    ]);
  }
  const updates = new Map<string, StoredUpdate>();
  for (const [name, pair] of pairs) {
    const layer = table.get(name)!;
    if (own) {
      updates.set(layer.own.find((each) => flatten(each) === name)!, pair);
      continue;
    }
    if (pair.B.shape[0]! % layer.own.length) {
      const rows = `rows for ${layer.own.length} layers`;
      throw notLora(path, [expected(`${prefix}${name}: B`, rows, `[${pair.B.shape.join(', ')}]`)]);
    }
    for (const [each, part] of await partsOf(layer, pair)) updates.set(each, part);
  }
  return updates;
}

async function partsOf(layer: SingleFileLayer, { A, B, alpha }: StoredUpdate): Promise<[string, StoredUpdate][]> {
  if (layer.own.length === 1) return [[layer.own[0]!, { A, B: await turned(layer, { A, B }), alpha }]];
  const tensors = await binding().unstackLora(A, B, layer.own.length);
  return layer.own.flatMap((name, index): [string, StoredUpdate][] => {
    const [ownA, ownB] = [tensors[2 * index], tensors[2 * index + 1]];
    return ownA && ownB ? [[name, { A: ownA, B: ownB, alpha: (alpha * ownA.shape[0]!) / A.shape[0]! }]] : [];
  });
}

/** A pair of a single file's layer, and how many layers it is of: the rank is as many times theirs. */
export interface StackedPair extends LoraPair {
  count: number;
}

/**
 * Pairs by the single file's names of their layers.
 * @param pairs by the network's own names, all of one rank
 * @param network one of {@link networksWith} these layers
 */
export async function toSingleNames(
  pairs: ReadonlyMap<string, LoraPair>,
  network: SingleFileNetwork,
): Promise<Map<string, StackedPair>> {
  const table = tableOf(network, [...pairs.keys()], (layer) => layer.own);
  const layers = new Set([...pairs.keys()].map((name) => table.get(name)!));
  const found = new Map<string, StackedPair>();
  for (const layer of layers) {
    const parts = layer.own.map((name) => pairs.get(name));
    const { A, B } = parts.find((part) => part !== undefined)!;
    const count = parts.length;
    if (count === 1) {
      found.set(layer.single, { A, B: await turned(layer, { A, B }), count });
      continue;
    }
    // What is not adapted of the matrix stands there as zeros.
    const all = parts.map((part) => part ?? { A: zeros(A.shape), B: zeros(B.shape) });
    const [stackedA, stackedB] = await binding().stackLora(
      all.map((part) => part.A),
      all.map((part) => part.B),
    );
    found.set(layer.single, { A: stackedA, B: stackedB, count });
  }
  return found;
}

/**
 * The networks that have all of these layers, by their own names. Of those in whose single files they have the same
 * names, the first.
 */
export function networksWith(names: readonly string[], networks: readonly SingleFileNetwork[]): SingleFileNetwork[] {
  const found = new Map<string, SingleFileNetwork>();
  for (const network of networks) {
    const table = tableOf(network, names, (layer) => layer.own);
    if (!names.every((name) => table.has(name))) continue;
    const single = names.map((name) => table.get(name)!.single).join(' ');
    if (!found.has(single)) found.set(single, network);
  }
  return [...found.values()];
}

const zeros = (shape: readonly number[]): Tensor =>
  Tensor.from(new Float32Array(shape.reduce((product, size) => product * size, 1)), shape);

/**
 * Gives B, with its halves swapped where the single file has the layer's halves in the other order. Only a modulation
 * of shift and scale alone, whose outputs are twice its inputs, is stored so.
 */
async function turned({ swapped }: SingleFileLayer, { A, B }: LoraPair): Promise<Tensor> {
  if (!swapped || B.shape[0] !== 2 * A.shape[1]!) return B;
  const halves = await binding().splitRows(B, 2);
  return binding().joinRows(halves.reverse(), B.shape);
}

/** The layers of a network, by the names that `namesOf` gives them; `names` tell how many blocks it has. */
function tableOf(
  network: SingleFileNetwork,
  names: readonly string[],
  namesOf: (layer: SingleFileLayer) => readonly string[],
): ReadonlyMap<string, SingleFileLayer> {
  return new Map(network.layersOf(names).flatMap((layer) => namesOf(layer).map((name) => [name, layer] as const)));
}
