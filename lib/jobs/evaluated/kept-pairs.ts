import { bytesOfEach, type ImageBytes } from '../../files/png/write.js';
import type { PairedBatch } from '../../training/paired-batches.js';
import type { Ranking } from './ranking.js';

/** Two images from the same noise; undefined is one with a number in it that is not finite. */
export interface KeptPair {
  prompt: string;
  before: ImageBytes | undefined;
  after: ImageBytes | undefined;
}

/**
 * Keeps the images of samples for as long as they lead a ranking. However many samples come, no more images are kept
 * than the rankings have places.
 */
export class KeptPairs {
  readonly #pairs = new Map<number, KeptPair>();

  /** Pairs of a sample that leads a ranking, by the samples' numbers. */
  get pairs(): ReadonlyMap<number, KeptPair> {
    return this.#pairs;
  }

  /** Keeps the images of a batch whose samples lead a ranking, and drops those whose samples no longer do. */
  async update(
    { first, prompts, before, after }: Pick<PairedBatch, 'first' | 'prompts' | 'before' | 'after'>,
    rankings: Iterable<Ranking>,
  ): Promise<void> {
    const leading = new Set([...rankings].flatMap(({ samples }) => samples));
    for (const sample of this.#pairs.keys()) if (!leading.has(sample)) this.#pairs.delete(sample);
    const entered = [...leading].filter((sample) => sample >= first && sample < first + prompts.length);
    if (entered.length === 0) return;
    const [old, now] = [await bytesOfEach(before), await bytesOfEach(after)];
    for (const sample of entered) {
      const at = sample - first;
      this.#pairs.set(sample, { prompt: prompts[at]!, before: copy(old[at]), after: copy(now[at]) });
    }
  }
}

/** The bytes alone, without the rest of the batch. */
const copy = (image: ImageBytes | undefined): ImageBytes | undefined => image && { ...image, data: image.data.slice() };
