import { Purpose, RandomStream, streamOf, type PhiloxWords } from '../runtime/random.js';

/**
 * An endless order over `count` items, each once an epoch, shuffled from (seed, epoch). Any position can be asked
 * for, so a resumed run needs only its step to go on where it stopped.
 */
export class EpochOrder {
  readonly #cache = new Map<number, Int32Array>();

  constructor(
    readonly count: number,
    readonly seed: bigint,
    private readonly words?: PhiloxWords,
  ) {}

  /** The items at positions `start` … `start + length − 1`. */
  slice(start: number, length: number): Int32Array {
    return Int32Array.from({ length }, (_, offset) => {
      const position = start + offset;
      return this.#permutation(Math.floor(position / this.count))[position % this.count]!;
    });
  }

  #permutation(epoch: number): Int32Array {
    let permutation = this.#cache.get(epoch);
    if (!permutation) {
      permutation = new RandomStream(this.seed, streamOf(epoch, 0, Purpose.data), this.words).permutation(this.count);
      this.#cache.set(epoch, permutation);
      // A batch spans at most a few epochs; older ones are not asked for again.
      for (const old of this.#cache.keys()) if (old < epoch - 1) this.#cache.delete(old);
    }
    return permutation;
  }
}
