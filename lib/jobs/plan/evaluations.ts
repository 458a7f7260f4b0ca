import type { AlgorithmSettings } from '../../training/algorithms.js';
import {
  algorithmEvaluations,
  endpointEvaluations,
  rewardPasses,
  type AlgorithmEvaluations,
  type RewardPasses,
} from '../../training/evaluations.js';
import type { Evaluations } from '../../training/metrics.js';
import type { FinetuneSettings } from '../settings/finetune.js';
import { rewardParts } from './reward-parts.js';

/**
 * What an iteration costs, one a sample, as metrics.jsonl reports it where no sample is dropped: the fewest and the
 * most, which differ where an algorithm draws how far back it goes.
 */
export interface EvaluationRange {
  /** What the cheapest iteration takes. */
  least: Evaluations;
  /** What the dearest iteration takes. */
  most: Evaluations;
}

export function evaluationsOf(algorithm: AlgorithmSettings, batch: number, passes?: RewardPasses): EvaluationRange {
  const total = ({
    rollout,
    pretrained,
    pretrainedAgain,
    logRatio,
    vjps,
    matched,
  }: AlgorithmEvaluations): Evaluations => ({
    forwards: (rollout + pretrained + pretrainedAgain + 2 * logRatio + matched) * batch,
    vjps: vjps * batch,
    backwards: matched * batch,
  });
  const { least, most } = algorithmEvaluations(algorithm, passes);
  return { least: total(least), most: total(most) };
}

/** How often a step of this configuration decodes its images, and takes a gradient back from them. */
export const passesOf = ({ algorithm, batch, rewards }: FinetuneSettings): RewardPasses =>
  rewardPasses(algorithm, batch, rewardParts(rewards));

/** The network evaluations of an iteration, and those before the first one. */
export function costsOf(config: FinetuneSettings) {
  const { algorithm, batch, prompts } = config;
  const passes = passesOf(config);
  const evaluations = evaluationsOf(algorithm, batch, passes);
  if (algorithm.name !== 'eam' || algorithm.endpoints === 'current') return { evaluations };
  const count = new Set(prompts).size * algorithm.endpointsPerPrompt;
  const { forwards, vjps } = endpointEvaluations(algorithm, passes);
  return { evaluations, endpoints: { count, forwards: count * forwards, vjps: count * vjps } };
}
