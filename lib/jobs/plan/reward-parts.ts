import { isDifferentiable, readsWholeBatch, type RewardConfig } from '../../rewards/registry.js';
import type { RewardParts } from '../../training/evaluations.js';

/** Tells whether a reward takes part in the gradient: one of weight 0 is watched. */
const hasShare = (reward: RewardConfig): boolean => reward.weight !== 0 && isDifferentiable(reward);

/** Tells whether a reward is given a slice of images at a time; any other reads all of them. */
export const isSliced = (reward: RewardConfig): boolean => hasShare(reward) && !readsWholeBatch(reward);

/** What a configuration tells of its rewards' gradients. */
export const rewardParts = (rewards: readonly RewardConfig[]): RewardParts => ({
  sliced: rewards.some(isSliced),
  whole: rewards.some((reward) => hasShare(reward) && readsWholeBatch(reward)),
});
