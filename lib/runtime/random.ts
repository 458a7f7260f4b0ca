import { binding } from './native/index.js';

/** What a stream of random numbers is for; the values are those of native/ops/random.h. */
export const Purpose = { initialNoise: 0, renoise: 1, time: 2, initialisation: 4, data: 7, endpoint: 10 } as const;

/** The stream of random numbers of one (step, sample, purpose): step < 2³², sample < 2²⁴. */
export function streamOf(step: number, sample: number, purpose: number): bigint {
  return (BigInt(step) << 32n) | (BigInt(sample) << 8n) | BigInt(purpose);
}

export type PhiloxWords = (counter: Uint32Array, key: Uint32Array) => Uint32Array;

const halves = (value: bigint): [number, number] => [
  Number(BigInt.asUintN(32, value)),
  Number(BigInt.asUintN(32, value >> 32n)),
];

/** Philox4x32-10 words in order (docs/mathematics.md, "Randomness"): a position in the stream is all its state. */
export class RandomStream {
  readonly #key: Uint32Array;
  readonly #counter: Uint32Array;
  readonly #words: PhiloxWords;
  #block: Uint32Array = new Uint32Array(0);
  #used = 0;

  constructor(
    seed: bigint,
    stream: bigint,
    words: PhiloxWords = (counter, key) => binding().philoxWords(counter, key),
  ) {
    this.#key = Uint32Array.from(halves(seed));
    this.#counter = Uint32Array.from([0, 0, ...halves(stream)]);
    this.#words = words;
  }

  /** A uniform number in (0, 1). */
  uniform(): number {
    return (this.#next() + 0.5) * 2 ** -32;
  }

  /** A whole number in [0, limit). */
  below(limit: number): number {
    return Math.floor((this.#next() * limit) / 2 ** 32);
  }

  /** A permutation of 0 … count − 1 (Fisher–Yates). */
  permutation(count: number): Int32Array {
    const order = Int32Array.from({ length: count }, (_, index) => index);
    for (let last = count - 1; last > 0; last--) {
      const other = this.below(last + 1);
      const kept = order[last]!;
      order[last] = order[other]!;
      order[other] = kept;
    }
    return order;
  }

  #next(): number {
    if (this.#used === this.#block.length) {
      this.#block = this.#words(this.#counter, this.#key);
      this.#used = 0;
      this.#counter[0] = (this.#counter[0]! + 1) >>> 0;
      if (this.#counter[0] === 0) this.#counter[1] = (this.#counter[1]! + 1) >>> 0;
    }
    return this.#block[this.#used++]!;
  }
}
