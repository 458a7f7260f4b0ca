import { combine } from '../../rewards/combine.js';
import { createJudge, createRewardList, type RewardConfig } from '../../rewards/registry.js';
import type { ArrayReward, Judge, Reward } from '../../rewards/reward.js';
import type { FinetuneSettings } from '../settings/finetune.js';

/** All that scores a run's images. */
export interface Scorers {
  /** The reward that is trained towards. */
  reward: ArrayReward;
  /** Reads the images of the evaluation. */
  judge: Judge | undefined;
  /** Rewards that are never trained on, whose fall is an alarm. */
  judges: readonly Reward[];
  /** Rewards that are only watched. */
  watched: readonly Reward[];
  /** The evaluation scores by this reward: that of the training, with those that are watched as parts of weight 0. */
  evaluated: ArrayReward;
}

/**
 * Makes what a configuration names.
 * @param onNote is told what the user should know
 * @throws EamError for a reward whose files do not fit
 */
export async function createScorers(
  { rewards, panel, evaluation, device }: FinetuneSettings,
  onNote: (message: string) => void,
): Promise<Scorers> {
  const list = (configs: readonly RewardConfig[]) => createRewardList(configs, device, { onNote });
  const alone = (parts: readonly (readonly [Reward, number])[]) => parts.map(([reward]) => reward);
  const trained = await list(rewards);
  const watched = alone(await list(evaluation?.rewards ?? []));
  const reward = combine(trained);
  return {
    reward,
    judge: evaluation?.judge && createJudge(evaluation.judge, device),
    judges: alone(await list(panel.judges)),
    watched,
    evaluated: watched.length ? combine([...trained, ...watched.map((each) => [each, 0] as const)]) : reward,
  };
}
