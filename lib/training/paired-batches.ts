import type { Model } from '../models/model.js';
import type { Tensor } from '../runtime/native/tensor.js';
import { sampleBatches, type SampleOptions } from './sampler.js';

/** Images of the pretrained and of the trained model for the same prompts and from the same noise. */
export interface PairedBatch {
  /** The number of the first sample, counted from 0. */
  first: number;
  /** The prompts: one for each pair. */
  prompts: readonly string[];
  /** The pretrained model's images, [B, channels, H, W] in [0, 1], not clamped. The receiver disposes of them. */
  before: Tensor;
  /** The trained model's images, likewise. */
  after: Tensor;
  /** How many network evaluations either half took. */
  forwards: { before: number; after: number };
}

/**
 * Draws one pair of images a prompt, a batch at a time: both halves of a batch are there together, so that whoever
 * compares them need not keep all images of one model.
 * @throws what {@link sampleBatches} does
 */
export async function* pairedBatches(
  model: Model,
  { average, ...options }: Omit<SampleOptions, 'weights'>,
): AsyncGenerator<PairedBatch> {
  const pretrained = sampleBatches(model, { ...options, weights: 'pretrained' });
  const trained = sampleBatches(model, { ...options, average, weights: 'trained' });
  let first = 0;
  try {
    for (;;) {
      const before = (await pretrained.next()).value;
      if (!before) break;
      let after: Awaited<ReturnType<typeof trained.next>>['value'];
      try {
        after = (await trained.next()).value;
      } catch (error) {
        before.images.dispose();
        throw error;
      }
      const { prompts } = before;
      const forwards = { before: before.forwards, after: after.forwards };
      yield { first, prompts, before: before.images, after: after.images, forwards };
      first += prompts.length;
    }
    // This generator, too, is run to its end, where it notes how many images are not finite.
    await trained.next();
  } finally {
    await pretrained.return(undefined);
    await trained.return(undefined);
  }
}
