import { expected } from '../../schema/validate.js';
import { CheckpointError } from '../../errors.js';

/** A tensor as a file's header, or the native network, tells of it. */
export interface StoredTensor {
  name: string;
  shape: readonly number[];
}

/** A linear layer, from `in` numbers to `out`. */
interface LinearLayer {
  in: number;
  out: number;
}

/** The linear layers among a network's tensors, by their names: what an adapter can be trained on. */
export class LinearLayers {
  readonly #layers: ReadonlyMap<string, LinearLayer>;

  constructor(tensors: readonly StoredTensor[]) {
    const matrices = tensors.filter(({ name, shape }) => shape.length === 2 && name.endsWith('.weight'));
    this.#layers = new Map(
      matrices.map(({ name, shape }) => [name.slice(0, -'.weight'.length), { in: shape[1]!, out: shape[0]! }]),
    );
  }

  /** @throws CheckpointError where the files hold no such layer */
  get(name: string): LinearLayer {
    const layer = this.#layers.get(name);
    if (layer) return layer;
    throw new CheckpointError(expected("the network's files", `a matrix ${name}.weight`, 'none of that name'));
  }

  /** The names of all of them. */
  get names(): string[] {
    return [...this.#layers.keys()];
  }

  /** Names of those that an adapter with these targets trains. */
  adapted(targets: readonly string[]): string[] {
    return this.names.filter((name) => targets.some((target) => isTarget(name, target)));
  }

  /** How many weights the layers have that such an adapter trains. */
  adaptedParameters(targets: readonly string[]): number {
    return this.adapted(targets)
      .map((name) => this.get(name))
      .reduce((sum, layer) => sum + layer.in * layer.out, 0);
  }

  /** How many numbers such an adapter has. */
  adapterParameters(targets: readonly string[], rank: number): number {
    return this.adapted(targets)
      .map((name) => this.get(name))
      .reduce((sum, layer) => sum + rank * (layer.in + layer.out), 0);
  }
}

/** Whether a target of an adapter names this layer. */
export const isTarget = (name: string, target: string): boolean => name === target || name.endsWith(`.${target}`);

/** How many numbers these tensors are; tables that are not trained are among them. */
export const parametersOf = (tensors: readonly StoredTensor[]): number =>
  tensors.reduce((sum, { shape }) => sum + shape.reduce((product, length) => product * length, 1), 0);
