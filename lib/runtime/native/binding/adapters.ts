import type { Tensor } from '../tensor.js';

/** What adapters and weights are carried by from one layout of names to another. A is [rank, in], B is [out, rank]. */
export interface AdapterBinding {
  /** weight [out, in] + scale · loraB [out, rank] · loraA [rank, in], in float64, rounded once to weight's dtype. */
  mergeLora(weight: Tensor, loraA: Tensor, loraB: Tensor, scale: number): Promise<Tensor>;
  /**
   * Σ scale · B A as one A and B of this rank in float32: the parts' ranks one after the other, then zeros. The last
   * are left out where they are more than that, which is a ConfigError unless their B is zero.
   */
  sumLora(
    loraA: readonly Tensor[],
    loraB: readonly Tensor[],
    scales: readonly number[],
    rank: number,
  ): Promise<[Tensor, Tensor]>;
  /** The A and B of a layer whose rows are those of the parts' layers; its rank is the sum of theirs. */
  stackLora(loraA: readonly Tensor[], loraB: readonly Tensor[]): Promise<[Tensor, Tensor]>;
  /**
   * A and B, in turn, of each of the layers whose equally many rows stand in one: of a share of its rank where B is
   * zero outside of equal blocks, and else of all of it. Null of a layer whose block is zero in both.
   */
  unstackLora(loraA: Tensor, loraB: Tensor, parts: number): Promise<(Tensor | null)[]>;
  /** The rows of these tensors, one below the other, as a tensor of this shape. */
  joinRows(tensors: readonly Tensor[], shape: readonly number[]): Promise<Tensor>;
  /** As many tensors of equally many rows. */
  splitRows(tensor: Tensor, parts: number): Promise<Tensor[]>;
}
