import type { AlgorithmSettings } from '../../training/algorithms.js';
import { algorithmEvaluations, type AlgorithmEvaluations, type RewardPasses } from '../../training/evaluations.js';
import type { Evaluations } from '../../training/metrics.js';

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
