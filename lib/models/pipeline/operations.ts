import type { WayOperations } from '../footprint.js';
import type { AdapterOptions } from '../model.js';
import { isTarget, type LinearLayers } from './layers.js';

// Floating-point operations of matrix products and convolutions, of one sample; docs/plan.md has the formulae.

/** An adapter whose gradients a backward pass is for. */
export type CountedAdapter = AdapterOptions & { targets: readonly string[] };

export const any = (...flags: boolean[]): boolean => flags.includes(true);

/**
 * Counts a transformer's operations as it is walked through, forward and in the backward pass. Each part is told
 * whether a gradient goes to its input (`wanted`), and says whether one comes from its output.
 */
export class OperationCount {
  #forward = 0;
  #backward = 0;

  constructor(
    private readonly layers: LinearLayers,
    /** Undefined: the backward pass is to the input. */
    private readonly adapter: CountedAdapter | undefined,
  ) {}

  get total(): WayOperations {
    return { forward: this.#forward, backward: this.#backward };
  }

  readonly product = (operations: number, wanted: boolean): boolean => {
    this.#forward += operations;
    if (wanted) this.#backward += operations;
    return wanted;
  };

  /** A layer of this name, for `count` tokens. */
  readonly linear = (name: string, count: number, wanted: boolean): boolean => {
    const { in: inputs, out: outputs } = this.layers.get(name);
    this.product(2 * count * inputs * outputs, wanted);
    const { adapter } = this;
    if (!adapter?.targets.some((target) => isTarget(name, target))) return wanted;
    const low = 2 * count * adapter.rank;
    this.#forward += low * (inputs + outputs);
    // To lora_B and from it, to lora_A and from it.
    this.#backward += low * (2 * outputs + inputs + (wanted ? inputs : 0));
    return true;
  };

  /** Two layers one after the other. */
  readonly two = (first: string, second: string, count: number, wanted: boolean): boolean =>
    this.linear(second, count, this.linear(first, count, wanted));

  /** Two products forward, and in the backward pass four: what a fused kernel computes again is not among them. */
  attention(count: number, width: number, wanted: boolean): boolean {
    this.#forward += 4 * count ** 2 * width;
    if (wanted) this.#backward += 8 * count ** 2 * width;
    return wanted;
  }

  /** Begins a block; what it returns ends it, and with checkpointing adds what the backward pass computes again. */
  repeatable(checkpointing: boolean): () => void {
    const before = this.total;
    return () => {
      if (checkpointing && this.#backward > before.backward) this.#backward += this.#forward - before.forward;
    };
  }
}
