// The numbers that autograd keeps and those that are alive at once, counted in the native network,
// flux2/flux2_block.cpp. docs/plan.md derives them.

import type { Flux2TransformerConfig } from '../../runtime/native/binding.js';
import { adaptedIn, trainedNumbers } from '../pipeline/memory.js';
import { innerOf, widthOf } from './config.js';

/** Bytes of a complex number's half, which rotations by position are computed with. */
const rotatedBytes = 4;

/** Bytes that one sample takes in the transformer. */
export class TransformerMemory {
  readonly #image: number;
  readonly #text: number;
  /** Numbers inside of feed-forward layers, for one outside. */
  readonly #inner: number;

  constructor(
    private readonly config: Flux2TransformerConfig,
    /** Names of the layers with an adapter. */
    private readonly adapted: readonly string[],
    tokens: { image: number; text: number },
    /** Bytes of a number, and of one that a norm of queries and keys keeps. */
    private readonly bytes: { network: number; norms: number },
    private readonly checkpointing: boolean,
  ) {
    const width = widthOf(config);
    this.#image = tokens.image * width;
    this.#text = tokens.text * width;
    this.#inner = innerOf(config) / width;
  }

  /**
   * Bytes that are alive while a block computes its last products: its inputs, what it has computed before, and these
   * products.
   */
  evaluate(): number {
    const both = this.#image + this.#text;
    const double = 5 * both + (3 + 4 * this.#inner) * Math.max(this.#image, this.#text);
    const single = (7 + 4 * this.#inner) * both;
    return this.bytes.network * Math.max(this.config.layers ? double : 0, this.config.singleLayers ? single : 0);
  }

  /**
   * Numbers that are alive at once in a block's backward pass, beside those that were kept. They are those of the
   * feed-forward layers, which a single-stream block computes along with its attention, or those of a rotation, with
   * its copies in another precision.
   */
  #transient(): number {
    const both = this.#image + this.#text;
    const rotation = (4 + 2 * Math.max(1, rotatedBytes / this.bytes.network)) * both;
    const double = Math.max(rotation, 2 * both + (1 + 3 * this.#inner) * Math.max(this.#image, this.#text));
    const single = Math.max(rotation + 2 * this.#inner * both, (5 + 4 * this.#inner) * both);
    return Math.max(this.config.layers ? double : 0, this.config.singleLayers ? single : 0);
  }

  /** @param trained whether the adapters' gradients are computed, too: then their inputs are kept */
  train(trained: boolean): number {
    const both = this.#image + this.#text;
    const blocks = [
      ...Array.from({ length: this.config.layers }, (_, index) => this.#keptByDouble(index, trained)),
      ...Array.from({ length: this.config.singleLayers }, (_, index) => this.#keptBySingle(index, trained)),
    ];
    return this.bytes.network * trainedNumbers(blocks, both, this.#transient(), this.checkpointing);
  }

  /** What autograd keeps of a block with two streams, in numbers of the network's dtype. */
  #keptByDouble(index: number, trained: boolean): number {
    const [image, text] = [this.#image, this.#text];
    const any = adaptedIn(trained ? this.adapted : [], `transformer_blocks.${index}.`);
    // Inputs of the norms before attention and feed-forward layers; queries, keys, values and the result, and the
    // inputs of the queries' and the keys' norm; SwiGLU's two inputs and its SiLU.
    let numbers = (2 + 4 + 2 * (this.bytes.norms / this.bytes.network) + 3 * this.#inner) * (image + text);
    // Inputs of the layers with an adapter.
    if (any('attn.to_q', 'attn.to_k', 'attn.to_v')) numbers += image;
    if (any('attn.add_q_proj', 'attn.add_k_proj', 'attn.add_v_proj')) numbers += text;
    for (const name of ['attn.to_out.0', 'ff.linear_in']) if (any(name)) numbers += image;
    for (const name of ['attn.to_add_out', 'ff_context.linear_in']) if (any(name)) numbers += text;
    if (any('ff.linear_out')) numbers += this.#inner * image;
    if (any('ff_context.linear_out')) numbers += this.#inner * text;
    return numbers;
  }

  /** What autograd keeps of a block with one stream, likewise. */
  #keptBySingle(index: number, trained: boolean): number {
    const both = this.#image + this.#text;
    const any = adaptedIn(trained ? this.adapted : [], `single_transformer_blocks.${index}.`);
    const { network, norms } = this.bytes;
    // The norm's input; the first product, of which values and SwiGLU's inputs are parts; turned queries and keys and
    // the attention's result; SiLU. A norm that copies its inputs into another type keeps the copies.
    let numbers = 1 + (3 + 2 * this.#inner) + 3 + this.#inner + (norms > network ? (2 * norms) / network : 0);
    if (any('attn.to_qkv_mlp_proj')) numbers += 1;
    if (any('attn.to_out')) numbers += 1 + this.#inner;
    return numbers * both;
  }
}
