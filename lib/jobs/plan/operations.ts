import type { z } from 'zod';

import type { algorithmSchema } from '../../training/algorithms.js';
import { evaluationsOf } from './evaluations.js';
import type { ModelOperations } from '../../models/footprint.js';

/** Floating-point operations of the stages of an iteration, the most where they differ; rewards' own are not among them. */
export interface IterationOperations {
  /** The network, from noise to the samples that images are made of. */
  rollout: number;
  /** Those samples to images. */
  decoding: number;
  /** The reward's gradient from images to samples; with decodeSlice, decoding them again. */
  rewardGradient: number;
  /** The network and the way back from the loss. */
  matching: number;
  /** Of the four. */
  total: number;
}

export function operationsOf(
  algorithm: z.output<typeof algorithmSchema>,
  batch: number,
  model: ModelOperations,
): IterationOperations {
  const { forwards, vjps, backwards } = evaluationsOf(algorithm, batch).most;
  const { trained, pretrained, decoder } = model;
  const decoding = batch * decoder.forward;
  const again = algorithm.decodeSlice > 0;
  let rewardGradient = batch * (decoder.backward + (again ? decoder.forward : 0));
  let matching = backwards * (trained.forward + trained.backward);
  let rollout: number;
  if (algorithm.name === 'eam') {
    const denoised = batch * (algorithm.guidedLoss && algorithm.guidance !== 1 ? 2 : 1);
    const denoisedAgain = again ? vjps : 0;
    rollout = (forwards - backwards - denoised - denoisedAgain) * trained.forward + denoised * pretrained.forward;
    rewardGradient += denoisedAgain * pretrained.forward + vjps * pretrained.backward;
  } else {
    rollout = (forwards - backwards - vjps) * trained.forward;
    matching += vjps * (pretrained.forward + pretrained.backward);
  }
  return { rollout, decoding, rewardGradient, matching, total: rollout + decoding + rewardGradient + matching };
}
