import type { ModelFootprint } from '../../models/footprint.js';
import { imagesPerSample } from '../../training/evaluations.js';
import type { FinetuneSettings } from '../settings/finetune.js';
import { encodingPhase, phasesOf, scoringPhase } from './phases.js';

/**
 * Fills in how many images are decoded and scored at a time, where the configuration leaves it out: the whole batch
 * (0), or the largest power of two below it with which scoring takes no more memory than what takes most beside it, or
 * 1. Encoding prompts does not count: where they are in the cache it is left out, and the choice is to be the same.
 */
export function withDecodeSlice(
  config: FinetuneSettings,
  footprint: ModelFootprint,
  rewards: number,
): FinetuneSettings {
  const { algorithm, batch } = config;
  if (algorithm.decodeSlice !== undefined) return config;
  const having = (decodeSlice: number): FinetuneSettings => ({ ...config, algorithm: { ...algorithm, decodeSlice } });
  const fits = (slice: number): boolean => {
    const phases = phasesOf(having(slice), footprint, rewards).filter(({ name }) => name !== encodingPhase);
    const bytes = (isScoring: boolean) =>
      Math.max(0, ...phases.filter(({ name }) => (name === scoringPhase) === isScoring).map((phase) => phase.bytes));
    return bytes(true) <= bytes(false);
  };
  if (fits(0)) return having(0);
  const images = batch * imagesPerSample(algorithm);
  let slice = 2 ** Math.floor(Math.log2(Math.max(1, images - 1)));
  while (slice > 1 && !fits(slice)) slice /= 2;
  return having(slice);
}

/** How images are decoded and scored, in a line. @param slice so many at a time, 0 for the whole batch */
export const decodingText = (slice: number): string =>
  `decoding and scoring: ${slice === 1 ? 'one image' : `${slice || 'all'} images`} at a time`;
