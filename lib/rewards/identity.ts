import { originOf } from '../files/origin.js';
import type { Reward } from './reward.js';

/** Rewards of a sum, with their weights. */
export type Parts = readonly (readonly [reward: Reward, weight: number])[];

const combined = new WeakMap<Reward, Parts>();

/** Remembers what a combined reward is made of. */
export const setParts = (reward: Reward, parts: Parts): void => void combined.set(reward, parts);

/** The rewards that a combined one sums, with their weights; undefined for any other. */
export const summedBy = (reward: Reward): Parts | undefined => combined.get(reward);

/** Lists the rewards that a combined one is made of, through combined parts; any other reward is its own part. */
export const partsOf = (reward: Reward): Reward[] =>
  combined.get(reward)?.flatMap(([part]) => partsOf(part)) ?? [reward];

/** Tells whether {@link rewardIdentity} knows a reward from every other, by its files or its settings. */
export async function isIdentified(reward: Reward): Promise<boolean> {
  const origins = await Promise.all(partsOf(reward).map((part) => originOf(part)));
  return origins.every((origin) => origin !== undefined);
}

/**
 * What tells a reward from another: the contents of its files and its settings, of a combined one those of its parts,
 * with their weights; of one that a program made itself, its name.
 * @throws CheckpointError, ConfigError for a file that cannot be read
 */
export async function rewardIdentity(reward: Reward): Promise<unknown> {
  const parts = combined.get(reward);
  if (parts) return Promise.all(parts.map(async ([part, weight]) => [await rewardIdentity(part), weight]));
  return (await (await originOf(reward))?.identity()) ?? reward.name;
}

/** @throws CheckpointError that names a file of the reward that was written to since it was loaded */
export async function refuseChangedReward(reward: Reward): Promise<void> {
  for (const [part] of combined.get(reward) ?? []) await refuseChangedReward(part);
  await (await originOf(reward))?.refuseChanged();
}
