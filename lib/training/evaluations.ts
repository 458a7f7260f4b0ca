import type { Drawing } from '../models/model.js';
import { solverCosts } from '../runtime/native/choices.generated.js';
import {
  modeOptionsSchema,
  type AlignPropSettings,
  type DraftSettings,
  type ReflSettings,
} from '../runtime/native/options.generated.js';
import type { AdjointMatchingSettings, AlgorithmSettings, EamSettings } from './algorithms.js';
import type { Evaluations } from './metrics.js';

/**
 * The network evaluations of one iteration for one sample, by what they are for. The native algorithms count the same
 * while they run; this tells it beforehand.
 */
export interface AlgorithmEvaluations {
  /** Forwards of the trained network from noise to the endpoint, without gradients. */
  rollout: number;
  /**
   * Forwards of the pretrained network: for the score of EAM; for the noiseless endpoint of AM and along its adjoint.
   */
  pretrained: number;
  /** Forwards of the trained network, and as many of the pretrained one, for log p_θ/p_pre where EAM has `modes`. */
  logRatio: number;
  /** Forwards of the pretrained network once more, where images are made a second time for the reward's gradient. */
  pretrainedAgain: number;
  /** Vector–Jacobian products through the pretrained network. */
  vjps: number;
  /** Forwards of the trained network for the loss, each with a backward pass. */
  matched: number;
}

/** RewardParts says which parts of a reward have a gradient: `sliced` read a slice of images, `whole` the batch. */
export interface RewardParts {
  sliced: boolean;
  whole: boolean;
}

/** How often each image is decoded in a step, and how often a gradient is taken back from it to its latents. */
export interface RewardPasses {
  decodings: number;
  gradients: number;
}

/** What scoring takes: images are decoded again, with a graph, for a part that reads more of them than one slice. */
export function rewardPasses(
  algorithm: AlgorithmSettings,
  batch: number,
  { sliced, whole }: RewardParts,
): RewardPasses {
  if (!sliced && !whole) return { decodings: 1, gradients: 0 };
  const { decodeSlice = 0 } = algorithm;
  const isAtOnce = decodeSlice === 0 || decodeSlice >= batch * imagesPerSample(algorithm) || !whole;
  return isAtOnce ? onePass : { decodings: 2, gradients: sliced ? 2 : 1 };
}

const onePass: RewardPasses = { decodings: 1, gradients: 1 };

/** Iterations, which differ where an algorithm draws how far back it goes. */
export interface EvaluationsRange {
  /** The cheapest one. */
  least: AlgorithmEvaluations;
  /** The dearest one. */
  most: AlgorithmEvaluations;
  /** What they take on average. */
  mean: AlgorithmEvaluations;
}

export function algorithmEvaluations(algorithm: AlgorithmSettings, passes = onePass): EvaluationsRange {
  if (algorithm.name === 'am') return adjointMatchingEvaluations(algorithm);
  if (isBackpropagation(algorithm)) return backpropagationEvaluations(algorithm);
  const one = eamEvaluations(algorithm, passes);
  // Endpoints of the pretrained model were drawn before the first step.
  const step = algorithm.endpoints === 'pretrained' ? { ...nothing, matched: one.matched } : one;
  return { least: step, most: step, mean: step };
}

/** Forwards, products and backwards of an iteration's mean, for one sample. */
export function meanEvaluations(algorithm: AlgorithmSettings, passes?: RewardPasses): number {
  const { mean } = algorithmEvaluations(algorithm, passes);
  const { rollout, pretrained, logRatio, pretrainedAgain, vjps, matched } = mean;
  return rollout + pretrained + 2 * logRatio + pretrainedAgain + vjps + 2 * matched;
}

/** Whether each iteration draws samples, and has them scored. */
export const drawsSamples = (algorithm: AlgorithmSettings): boolean =>
  algorithm.name !== 'eam' || algorithm.endpoints === 'current';

type BackpropagationSettings = ReflSettings | DraftSettings | AlignPropSettings;

const isBackpropagation = (algorithm: AlgorithmSettings): algorithm is BackpropagationSettings =>
  algorithm.name !== 'eam' && algorithm.name !== 'am';

/** How many images of each sample the reward reads. */
export const imagesPerSample = (algorithm: AlgorithmSettings): number =>
  algorithm.name === 'draft' ? algorithm.renoisings + 1 : 1;

/** The evaluations of one graph from where the rollout is differentiated to an image; none where it is not. */
export const differentiatedEvaluations = (algorithm: AlgorithmSettings): number =>
  isBackpropagation(algorithm) ? algorithmEvaluations(algorithm).most.matched / imagesPerSample(algorithm) : 0;

/** What one endpoint of the pretrained model takes, before the first step. */
export function endpointEvaluations(algorithm: EamSettings, passes: RewardPasses): Omit<Evaluations, 'backwards'> {
  const { rollout, pretrained, pretrainedAgain, vjps } = eamEvaluations(algorithm, passes);
  return { forwards: rollout + pretrained + pretrainedAgain, vjps };
}

/** A guided velocity is two. */
const velocities = (guidance: number) => (guidance === 1 ? 1 : 2);

/** The network evaluations that one image takes to be drawn, from noise to data. */
export function drawingEvaluations({ solver, steps, guidance }: Drawing): number {
  const { perStep, fewerAtData } = solverCosts[solver];
  return (perStep * steps - fewerAtData) * velocities(guidance);
}

const nothing: AlgorithmEvaluations = {
  rollout: 0,
  pretrained: 0,
  logRatio: 0,
  pretrainedAgain: 0,
  vjps: 0,
  matched: 0,
};

function eamEvaluations(settings: EamSettings, { decodings, gradients }: RewardPasses): AlgorithmEvaluations {
  const { solver, steps, terminal, renoisings, rewardThroughDenoiser, guidedLoss, guidance, modes } = settings;
  const { perStep, fewerAtData } = solverCosts[solver];
  const guided = guidedLoss ? velocities(guidance) : 1;
  const through = gradients > 0 && rewardThroughDenoiser;
  return {
    rollout: (perStep * steps - (terminal === 'plugin' ? fewerAtData : 0)) * velocities(guidance),
    pretrained: guided,
    // Two noises at each time.
    logRatio: modes ? 2 * modeOptionsSchema.parse(modes === true ? {} : modes).times * guided : 0,
    pretrainedAgain: through ? (decodings - 1) * guided : 0,
    vjps: through ? gradients * guided : 0,
    matched: renoisings * guided,
  };
}

function adjointMatchingEvaluations(settings: AdjointMatchingSettings): EvaluationsRange {
  const { steps, drawnSteps, finalFraction, guidance } = settings;
  // Rounded as the native core does it.
  const final = Math.ceil(finalFraction * steps - 1e-9);
  const drawn = Math.min(drawnSteps, steps - final);
  const firstFinal = steps - final;
  const backTo = (first: number): AlgorithmEvaluations => ({
    rollout: steps * velocities(guidance),
    pretrained: 1 + steps - first,
    logRatio: 0,
    pretrainedAgain: 0,
    vjps: steps - first,
    matched: drawn + final,
  });
  return {
    least: backTo(firstFinal - drawn),
    most: backTo(drawn === 0 ? firstFinal : 0),
    // The smallest number of a random subset of `drawn` numbers below firstFinal is this, on average.
    mean: backTo((firstFinal - drawn) / (drawn + 1)),
  };
}

function backpropagationEvaluations(settings: BackpropagationSettings): EvaluationsRange {
  const { steps, solver, guidance, microBatch } = settings;
  const { perStep, fewerAtData } = solverCosts[solver];
  const lastSteps = (count: number): AlgorithmEvaluations => {
    const after = settings.name === 'refl' ? 1 : perStep * count - fewerAtData;
    const differentiated = after * imagesPerSample(settings) * velocities(guidance);
    const before = perStep * (steps - count) * velocities(guidance);
    // Micro-batches compute what is differentiated a second time.
    return { ...nothing, rollout: before + (microBatch > 0 ? differentiated : 0), matched: differentiated };
  };
  const [fewest, most] = lastStepsOf(settings);
  const ends = [lastSteps(fewest), lastSteps(most)] as const;
  // Further back is dearer, unless all of it is one step.
  const [least, dearest] = settings.name === 'refl' ? [ends[1], ends[0]] : ends;
  return { least, most: dearest, mean: lastSteps((fewest + most) / 2) };
}

/** The fewest and the most of the last steps that are differentiated, or that ReFL's one step stands for. */
function lastStepsOf(settings: BackpropagationSettings): readonly [number, number] {
  switch (settings.name) {
    case 'refl':
      // Rounded as the native core does it.
      return [1, Math.max(1, Math.ceil(settings.finalFraction * settings.steps - 1e-9))];
    case 'draft':
      return [settings.lastSteps, settings.lastSteps];
    case 'alignprop':
      return [settings.fewestSteps, settings.mostSteps ?? settings.steps];
  }
}
