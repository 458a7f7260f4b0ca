// The numbers that autograd keeps and those that are alive at once, counted in the native network,
// autoencoder_kl/blocks.cpp. docs/plan.md derives them.

import type { AutoencoderKlConfig } from '../../runtime/native/binding.js';
import { decoderChannels } from './config.js';

/** Bytes that one sample takes in the autoencoder's decoder. */
export class DecoderMemory {
  /** Numbers of each level's activations, and of what comes into it, the coarsest first. */
  readonly #levels: readonly { inputs: number; outputs: number }[];

  constructor(
    private readonly config: AutoencoderKlConfig,
    area: number,
    /** Bytes of a number. */
    private readonly bytes: number,
  ) {
    const channels = decoderChannels(config);
    this.#levels = channels.map((outputs, level) => {
      const places = area * 4 ** level;
      return { inputs: places * channels[Math.max(0, level - 1)]!, outputs: places * outputs };
    });
  }

  /** Inputs of norms, of SiLU and of convolutions: three a half of a residual block. */
  kept(): number {
    const { layersPerBlock, midBlockAttention } = this.config;
    const deepest = this.#levels[0]!.inputs;
    const levels = this.#levels.reduce((sum, { inputs, outputs }, level) => {
      const blocks = 3 * inputs + 3 * outputs + layersPerBlock * 6 * outputs;
      const upsampled = level < this.#levels.length - 1 ? 4 * outputs : 0;
      return sum + blocks + upsampled;
    }, 0);
    return (
      this.bytes * (12 * deepest + (midBlockAttention ? 6 * deepest : 0) + levels + 3 * this.#levels.at(-1)!.outputs)
    );
  }

  /**
   * Alive at once without a gradient: what goes through the largest residual block, and the convolution's own copies.
   */
  transient(): number {
    return this.bytes * Math.max(...this.#levels.map(({ inputs, outputs }) => 3 * (inputs + outputs)));
  }

  /** In the backward pass, on top of what is kept: it grows less from the first step on. */
  backward(): number {
    return this.bytes * 2 * this.#levels.at(-1)!.outputs;
  }
}
