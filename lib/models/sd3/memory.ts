// The numbers that autograd keeps and those that are alive at once, counted in the native network, sd3/sd3_block.cpp.
// docs/plan.md derives them.

import type { Sd3TransformerConfig } from '../../runtime/native/binding.js';
import { adaptedIn, trainedNumbers } from '../pipeline/memory.js';
import { isDual, widthOf } from './config.js';

/** Bytes that one sample takes in the transformer. */
export class TransformerMemory {
  readonly #image: number;
  readonly #text: number;

  constructor(
    private readonly config: Sd3TransformerConfig,
    /** Names of the layers with an adapter. */
    private readonly adapted: readonly string[],
    tokens: { image: number; text: number },
    /** Bytes of a number, and of one that a norm of queries and keys keeps. */
    private readonly bytes: { network: number; norms: number },
    private readonly checkpointing: boolean,
  ) {
    this.#image = tokens.image * widthOf(config);
    this.#text = tokens.text * widthOf(config);
  }

  /**
   * Bytes that are alive while a block computes its last products: its inputs, what it has computed before, and these
   * products.
   */
  evaluate(): number {
    const [image, text] = [this.#image, this.#text];
    return this.bytes.network * (Math.max(19 * image + 8 * text, 8 * image + 19 * text) + this.#modulations());
  }

  /** What modulates every block and the end, computed at once: shift, scale and gate of each part of each stream. */
  #modulations(): number {
    const { layers } = this.config;
    const dual = Array.from({ length: layers }, (_, index) => isDual(this.config, index)).filter(Boolean).length;
    // The last block modulates its text with two vectors in place of six.
    return widthOf(this.config) * (12 * layers + 3 * dual - 4 + 2);
  }

  /**
   * Numbers that are alive at once in a block's backward pass, beside those that were kept: those of the attention or
   * of the feed-forward layers.
   */
  #transient(): number {
    const both = this.#image + this.#text;
    return Math.max(8 * both + this.#image, 2 * both + 9 * Math.max(this.#image, this.#text));
  }

  /** @param trained whether the adapters' gradients are computed, too: then their inputs are kept */
  train(trained: boolean): number {
    const blocks = Array.from({ length: this.config.layers }, (_, index) => this.#kept(index, trained));
    const both = this.#image + this.#text;
    return this.bytes.network * trainedNumbers(blocks, both, this.#transient(), this.checkpointing);
  }

  /** What autograd keeps of a block, in numbers of the network's dtype. */
  #kept(index: number, trained: boolean): number {
    const [image, text] = [this.#image, this.#text];
    const normalised = this.config.qkNorm ? this.bytes.norms / this.bytes.network : 0;
    const last = index === this.config.layers - 1;
    const dual = isDual(this.config, index);
    const any = adaptedIn(trained ? this.adapted : [], `transformer_blocks.${index}.`);
    // Inputs of the norms before attention and feed-forward layers.
    let numbers = 2 * image + (last ? 1 : 2) * text;
    // Queries, keys, values and the result, and the inputs of the queries' and the keys' norm.
    numbers += (4 + 2 * normalised) * (image + text);
    if (dual) numbers += (4 + 2 * normalised) * image;
    // GELU's input.
    numbers += 4 * image + (last ? 0 : 4 * text);
    // Inputs of the layers with an adapter.
    if (any('attn.to_q', 'attn.to_k', 'attn.to_v')) numbers += image;
    if (any('attn.add_q_proj', 'attn.add_k_proj', 'attn.add_v_proj')) numbers += text;
    if (any('attn2.to_q', 'attn2.to_k', 'attn2.to_v')) numbers += image;
    for (const name of ['attn.to_out.0', 'attn2.to_out.0', 'ff.net.0.proj']) if (any(name)) numbers += image;
    for (const name of ['attn.to_add_out', 'ff_context.net.0.proj']) if (any(name)) numbers += text;
    if (any('ff.net.2')) numbers += 4 * image;
    if (any('ff_context.net.2')) numbers += 4 * text;
    return numbers;
  }
}
