import type { Drawing } from '../models/model.js';
import { solverCosts } from '../runtime/native/choices.generated.js';
import { modeOptionsSchema } from '../runtime/native/options.generated.js';
import type { AdjointMatchingSettings, AlgorithmSettings, EamSettings } from './algorithms.js';

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

/** The cheapest and the dearest iteration, which differ where an algorithm draws how far back it goes. */
export function algorithmEvaluations(algorithm: AlgorithmSettings): {
  least: AlgorithmEvaluations;
  most: AlgorithmEvaluations;
} {
  if (algorithm.name === 'am') return adjointMatchingEvaluations(algorithm);
  const one = eamEvaluations(algorithm);
  return { least: one, most: one };
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

function eamEvaluations(settings: EamSettings): AlgorithmEvaluations {
  const { solver, steps, terminal, renoisings, rewardThroughDenoiser, decodeSlice, guidedLoss, guidance, modes } =
    settings;
  const matched = { matched: renoisings * (guidedLoss ? velocities(guidance) : 1) };
  // They were drawn before the first step.
  if (settings.endpoints === 'pretrained') return { ...nothing, ...matched };
  const { perStep, fewerAtData } = solverCosts[solver];
  const guided = guidedLoss ? velocities(guidance) : 1;
  return {
    rollout: (perStep * steps - (terminal === 'plugin' ? fewerAtData : 0)) * velocities(guidance),
    pretrained: guided,
    // Two noises at each time.
    logRatio: modes ? 2 * modeOptionsSchema.parse(modes === true ? {} : modes).times * guided : 0,
    pretrainedAgain: rewardThroughDenoiser && decodeSlice > 0 ? guided : 0,
    vjps: rewardThroughDenoiser ? guided : 0,
    ...matched,
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
