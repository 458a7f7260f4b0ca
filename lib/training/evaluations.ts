import type { Drawing } from '../models/model.js';
import { solverCosts } from '../runtime/native/choices.generated.js';
import { modeOptionsSchema } from '../runtime/native/options.generated.js';
import type { AdjointMatchingSettings, AlgorithmSettings, EamSettings } from './algorithms.js';
import type { Evaluations } from './metrics.js';

/**
 * The network evaluations of one iteration for one sample, by what they are for. The native algorithms count the same
 * while they run; this tells it beforehand.
 */
export interface AlgorithmEvaluations {
  /** Forwards of the trained network from noise to the endpoint. */
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

/** Which parts of a reward have a gradient: those that read a slice of images, and those that read the whole batch. */
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
  { decodeSlice = 0 }: AlgorithmSettings,
  batch: number,
  { sliced, whole }: RewardParts,
): RewardPasses {
  if (!sliced && !whole) return { decodings: 1, gradients: 0 };
  const isAtOnce = decodeSlice === 0 || decodeSlice >= batch || !whole;
  return isAtOnce ? onePass : { decodings: 2, gradients: sliced ? 2 : 1 };
}

const onePass: RewardPasses = { decodings: 1, gradients: 1 };

/** The cheapest and the dearest iteration, which differ where an algorithm draws how far back it goes. */
export function algorithmEvaluations(
  algorithm: AlgorithmSettings,
  passes = onePass,
): { least: AlgorithmEvaluations; most: AlgorithmEvaluations } {
  if (algorithm.name === 'am') return adjointMatchingEvaluations(algorithm);
  const one = eamEvaluations(algorithm, passes);
  // Endpoints of the pretrained model were drawn before the first step.
  const step = algorithm.endpoints === 'pretrained' ? { ...nothing, matched: one.matched } : one;
  return { least: step, most: step };
}

/** Whether each iteration draws samples, and has them scored. */
export const drawsSamples = (algorithm: AlgorithmSettings): boolean =>
  algorithm.name === 'am' || algorithm.endpoints === 'current';

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

function adjointMatchingEvaluations({ steps, drawnSteps, finalFraction, guidance }: AdjointMatchingSettings) {
  // Rounded as the native core does it.
  const final = Math.ceil(finalFraction * steps - 1e-9);
  const drawn = Math.min(drawnSteps, steps - final);
  const backTo = (first: number): AlgorithmEvaluations => ({
    rollout: steps * velocities(guidance),
    pretrained: 1 + steps - first,
    logRatio: 0,
    pretrainedAgain: 0,
    vjps: steps - first,
    matched: drawn + final,
  });
  return { least: backTo(steps - final - drawn), most: backTo(drawn === 0 ? steps - final : 0) };
}
