import { access } from 'node:fs/promises';
import { resolve } from 'node:path';

import { z } from 'zod';

import { ConfigError } from '../errors.js';
import { fetchedReward, pathOrHubName } from '../files/hub-cache.js';
import type { ModelDType } from '../models/model.js';
import type { Pretraining } from '../models/pretraining.js';
import type { Verifier } from '../models/verification/verification.js';
import type { Judge, Reward } from './reward.js';

/** A file of a reward's weights, and what is loaded of it. */
export interface WeightsFile {
  path: string;
  /** What its numbers are loaded as; undefined: as they are stored. */
  dtype?: ModelDType | undefined;
  /** How the names of the tensors begin that are loaded; undefined: all are. */
  only?: readonly string[] | undefined;
}

/** Some files of one of the hub's repositories. */
export interface HubFiles {
  /** The repository, `user/name`. */
  repository: string;
  /** The files' paths in it; in the reward's directory they have the same. */
  files: readonly string[];
  /** Files that are taken where the repository has them. */
  ifThere?: readonly string[];
  /** SHA-256 of the files that come from a copy of what its authors published elsewhere, by path. */
  sha256?: Readonly<Record<string, string>>;
}

/** How published rewards are made, whatever the configuration says of them. */
export interface RewardSettings {
  /** Score images as the reference scripts do: no gradient goes through that. */
  asReference?: boolean | undefined;
  /** Told what the user should know. */
  onNote?: ((message: string) => void) | undefined;
}

/** A kind of reward: all that the rest of the library knows of it. kinds.ts lists them. */
export interface RewardKind<Schema extends z.ZodType> {
  /** What a configuration's `rewards` holds of it; its `name` is the kind's. */
  schema: Schema;
  /** @throws EamError for one whose files do not fit */
  create(config: z.output<Schema>, device: string, settings: RewardSettings): Reward | Promise<Reward>;
  /**
   * The files that its weights are loaded from; none where it has no weights, undefined where nobody knows. Nothing in
   * them is read.
   * @throws CheckpointError, ConfigError where one is not there
   */
  locate(config: z.output<Schema>): Promise<WeightsFile[] | undefined>;
  /** Whether it gives a gradient; left out by one that always does. */
  differentiable?(config: z.output<Schema>): boolean;
  /** It says whether an image's value depends on the others of its batch; left out by one of which it never does. */
  wholeBatch?(config: z.output<Schema>): boolean;
  /** The files of the hub's repositories that make its directory; left out by one that is not published. */
  published?: readonly HubFiles[];
  /** About how many numbers are loaded of its files, to plan for it before they are there; of one that is published. */
  parameters?: number;
  /** Compares a directory of it with its goldens; left out by one that no published implementation computes. */
  verify?: Verifier;
  /** How its network is trained from scratch; left out by one that is published, or has none. */
  pretraining?: Pretraining;
}

/** What a kind of judge is. */
export interface JudgeKind<Schema extends z.ZodType> {
  schema: Schema;
  create(config: z.output<Schema>, device: string): Judge;
  locate(config: z.output<Schema>): WeightsFile[];
}

/** Makes TypeScript infer a kind's schema. */
export const rewardKind = <Schema extends z.ZodType>(kind: RewardKind<Schema>): RewardKind<Schema> => kind;
export const judgeKind = <Schema extends z.ZodType>(kind: JudgeKind<Schema>): JudgeKind<Schema> => kind;

export const wholeBatch = z
  .boolean()
  .default(false)
  .describe(
    "True says that an image's value depends on the others of its batch: all of a step are then scored at once, and " +
      'each is decoded a second time for the gradient.',
  );
export const weight = z.number().default(1).describe('The value is multiplied by this in the sum.');
/** Made absolute: a record of it means the same in every working directory. */
export const file = z
  .string()
  .min(1)
  .transform((path) => resolve(path));
export const directory = file.optional();
/** A folder, made absolute, or a name of the hub's, which stays what it is. */
export const folder = z.string().min(1).transform(pathOrHubName).optional();

/** Options of every reward that is read from the files its authors published. @param name the reward's */
export const published = (name: string) => ({
  /** What its value is multiplied by in the sum. */
  weight,
  directory: folder.describe(
    'Its published files are in this folder, or of this name of the hub; left out, it is the folder into which ' +
      `\`eam fetch ${name}\` puts them.`,
  ),
  dtype: z
    .enum(['float32', 'float64', 'bfloat16', 'float16'])
    .optional()
    .describe('Its networks compute in this type; left out, it is float32.'),
  slice: z
    .int()
    .min(0)
    .optional()
    .describe("This many images are scored at a time, with 0 all of a batch; left out, the reward's own number is."),
});

/**
 * Where a published reward's files are. A configuration that leaves its folder out keeps it left out: its record means
 * the same in the home of another user.
 */
export const publishedFolder = (name: string, { directory }: { directory?: string | undefined }): string =>
  directory ?? fetchedReward(name);

/** The absolute path of a reward's file. @throws ConfigError where it is not there */
export async function checkFile(reward: string, name: string): Promise<string> {
  const path = resolve(name);
  await access(path).catch((error: NodeJS.ErrnoException) => {
    throw new ConfigError(`${reward}: ${path}: ${error.code === 'ENOENT' ? 'there is no such file' : error.message}`, {
      cause: error,
    });
  });
  return path;
}
