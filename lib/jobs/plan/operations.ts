import type { AlgorithmSettings } from '../../training/algorithms.js';
import {
  algorithmEvaluations,
  drawingEvaluations,
  drawsSamples,
  imagesPerSample,
  type RewardPasses,
} from '../../training/evaluations.js';
import type { FinetuneSettings } from '../settings/finetune.js';
import { panelDraws } from '../settings/panel.js';
import type { ModelOperations } from '../../models/footprint.js';

/**
 * Floating-point operations of the stages of an iteration, the most where they differ; rewards' own are not among them.
 */
export interface IterationOperations {
  /** The network, from noise to the samples that images are made of. */
  rollout: number;
  /** Those samples to images. */
  decoding: number;
  /** The reward's gradient from images to samples; of a reward that reads the whole batch, decoding slices again. */
  rewardGradient: number;
  /** The network's forward and backward passes for the loss. */
  matching: number;
  /** The sum of the four that come before it. */
  total: number;
}

/** All that is drawn: grids of samples, the panel's images, and those of the evaluation before and after. */
export function drawingOperations(
  { steps, samples, panel, evaluation }: FinetuneSettings,
  { pretrained, decoder }: ModelOperations,
): { network: number; decoder: number } {
  const grids = 2 + (samples.every > 0 ? Math.floor((steps - 1) / samples.every) : 0);
  const sets = [
    { ...samples, images: grids * samples.count },
    { ...panel, images: panelDraws(panel, steps) * panel.count },
    ...(evaluation ? [{ ...evaluation, images: 2 * evaluation.count }] : []),
  ];
  const evaluations = sets.reduce((sum, set) => sum + set.images * drawingEvaluations(set), 0);
  const images = sets.reduce((sum, set) => sum + set.images, 0);
  return { network: evaluations * pretrained.forward, decoder: images * decoder.forward };
}

export function operationsOf(
  algorithm: AlgorithmSettings,
  batch: number,
  model: ModelOperations,
  passes: RewardPasses,
): IterationOperations {
  const { most } = algorithmEvaluations(algorithm, passes);
  const { rollout, pretrained, pretrainedAgain, logRatio, vjps, matched } = most;
  const none = { forward: 0, backward: 0 };
  const decoder = drawsSamples(algorithm) ? model.decoder : none;
  const images = imagesPerSample(algorithm);
  const stages = {
    rollout: rollout * model.trained.forward,
    decoding: images * decoder.forward,
    rewardGradient: images * (passes.gradients * decoder.backward + (passes.decodings - 1) * decoder.forward),
    matching:
      matched * (model.trained.forward + model.trained.backward) +
      logRatio * (model.trained.forward + model.pretrained.forward),
  };
  if (algorithm.name === 'eam') {
    stages.rollout += pretrained * model.pretrained.forward;
    stages.rewardGradient += pretrainedAgain * model.pretrained.forward + vjps * model.pretrained.backward;
  } else {
    stages.matching += pretrained * model.pretrained.forward + vjps * model.pretrained.backward;
  }
  const total = stages.rollout + stages.decoding + stages.rewardGradient + stages.matching;
  const of = (operations: number) => batch * operations;
  return {
    rollout: of(stages.rollout),
    decoding: of(stages.decoding),
    rewardGradient: of(stages.rewardGradient),
    matching: of(stages.matching),
    total: of(total),
  };
}
