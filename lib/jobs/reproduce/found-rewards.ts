import { existsSync } from 'node:fs';
import { stat } from 'node:fs/promises';
import { join } from 'node:path';

import { CheckpointError, ConfigError } from '../../errors.js';
import { fetchedReward } from '../../files/hub-cache.js';
import { elementBytes } from '../../models/footprint.js';
import { dtypeOf, locateReward, publishedParameters, rewardSchema, type RewardConfig } from '../../rewards/registry.js';
import { validate } from '../../schema/validate.js';
import { loadedBytes } from '../plan/reward-weights.js';
import type { Recipe, RecipeReward } from './recipe.js';

/** A reward of a recipe, and its files. */
export interface FoundReward {
  name: string;
  title: string;
  /** A configuration that scores with it says this. */
  config: RewardConfig;
  /** A configuration that trains towards it says this. */
  training: RewardConfig;
  /** The folder that its files are in, or are to be in. */
  place: string;
  /** The bytes of its files; of those that are missing about those of the published ones. */
  bytes: number;
  /** What is wrong with its files, where they cannot be loaded, and the command that gets them. */
  missing?: { problem: string; command: string } | undefined;
  /** How many numbers it has, where it has not about as many as the published one. */
  otherSize?: { here: number; published: number } | undefined;
}

/**
 * Finds the files of a recipe's rewards.
 * @param folder holds a folder for each, by its name; without one they are where `eam fetch` puts them
 */
export const findRewards = ({ rewards }: Recipe, folder: string | undefined): Promise<FoundReward[]> =>
  Promise.all(rewards.map((reward) => findReward(reward, folder)));

async function findReward(reward: RecipeReward, folder: string | undefined): Promise<FoundReward> {
  const { name } = reward.config;
  const place = folder === undefined ? fetchedReward(name) : join(folder, name);
  const own = { ...reward.config, ...(folder !== undefined && { directory: place }) };
  const alone = { config: configOf(own, name), training: configOf({ ...own, ...reward.training }, name) };
  const found = { name, title: reward.title, place };
  const problem = await problemOf(alone.config);
  if (problem === undefined) return { ...found, ...alone, ...(await sizeOf(alone.config)) };
  const helped = folder !== undefined && existsSync(place) ? besides(reward, folder) : undefined;
  if (helped) {
    const both = {
      config: configOf({ ...own, ...helped }, name),
      training: configOf({ ...own, ...reward.training, ...helped }, name),
    };
    if ((await problemOf(both.config)) === undefined) return { ...found, ...both, ...(await sizeOf(both.config)) };
  }
  const command = `eam fetch ${name}${folder === undefined ? '' : ` --to ${place}`} --yes`;
  const bytes = (publishedParameters(alone.config) ?? 0) * elementBytes.float32;
  const what = existsSync(place) ? problem : `nothing is at ${place}`;
  return { ...found, ...alone, bytes, missing: { problem: what, command } };
}

const configOf = (config: object, name: string): RewardConfig => validate(rewardSchema, config, `reward ${name}`);

const besides = ({ beside }: RecipeReward, folder: string) =>
  beside && Object.fromEntries(Object.entries(beside).map(([key, other]) => [key, join(folder, other)]));

async function problemOf(config: RewardConfig): Promise<string | undefined> {
  try {
    await locateReward(config);
    return undefined;
  } catch (error) {
    if (error instanceof CheckpointError || error instanceof ConfigError) return error.message;
    throw error;
  }
}

/** How far a network's size may be from the published one's, which is a round number, and still be it. */
const closeEnough = 0.05;

async function sizeOf(config: RewardConfig): Promise<Pick<FoundReward, 'bytes' | 'otherSize'>> {
  const files = (await locateReward(config)) ?? [];
  const sizes = await Promise.all(files.map(({ path }) => stat(path)));
  const here = Math.round((await loadedBytes(files)) / elementBytes[dtypeOf(config) ?? 'float32']);
  const published = publishedParameters(config);
  const isOther = published !== undefined && Math.abs(here / published - 1) > closeEnough;
  return {
    bytes: sizes.reduce((sum, { size }) => sum + size, 0),
    ...(isOther && { otherSize: { here, published } }),
  };
}
