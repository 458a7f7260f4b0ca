import type { Tensor } from '../../runtime/native/tensor.js';
import type { AdapterInfo } from '../model.js';

/**
 * The names of the layouts in which adapters are read and written: PEFT's own folder, the file that diffusers loads,
 * and the files of kohya's sd-scripts and of ComfyUI.
 */
export type AdapterLayoutName = 'peft' | 'diffusers' | 'kohya' | 'comfyui';
export const adapterLayoutNames = ['peft', 'diffusers', 'kohya', 'comfyui'] as const satisfies AdapterLayoutName[];

/** An adapter's settings, as its files say them. */
export interface AdapterConfig extends AdapterInfo {
  /** How it is kept. */
  layout: AdapterLayoutName;
  /** The model it was trained on, where the file says so. */
  base: string | undefined;
  /** No file says alpha: it is taken to be the rank, as the programs that read such files take it. */
  alphaAssumed: boolean;
}

/** An adapter that was read. */
export interface Adapter {
  config: AdapterConfig;
  /** The layers that it adapts, by their names in the network. */
  modules: string[];
  /** The rank that each of them was stored with: where it is below that of `config`, what is behind it is zero. */
  ranks: ReadonlyMap<string, number>;
  /** `LAYER.lora_A.weight` [rank, in] and `LAYER.lora_B.weight` [out, rank], all of one rank. */
  tensors: Record<string, Tensor>;
}

/** The low-rank update of one layer, W + scale B A. */
export interface LoraPair {
  /** [rank, in]. */
  A: Tensor;
  /** [out, rank]. */
  B: Tensor;
}

/** Tensors that are the network's own, by the names of their layers. */
export function pairsOf(tensors: Readonly<Record<string, Tensor>>): Map<string, LoraPair> {
  const suffix = '.lora_A.weight';
  return new Map(
    Object.keys(tensors)
      .filter((name) => name.endsWith(suffix))
      .map((name) => name.slice(0, -suffix.length))
      .map((layer) => [layer, { A: tensors[`${layer}.lora_A.weight`]!, B: tensors[`${layer}.lora_B.weight`]! }]),
  );
}

/** The reverse of {@link pairsOf}. */
export const tensorsOf = (pairs: ReadonlyMap<string, LoraPair>): Record<string, Tensor> =>
  Object.fromEntries(
    Array.from(pairs).flatMap(([layer, { A, B }]) => [
      [`${layer}.lora_A.weight`, A],
      [`${layer}.lora_B.weight`, B],
    ]),
  );
