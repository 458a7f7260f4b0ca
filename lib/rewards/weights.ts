import { access } from 'node:fs/promises';
import { join, resolve } from 'node:path';

import { ConfigError } from '../errors.js';
import type { ModelDType } from '../models/model.js';
import { shippedDirectory } from '../runtime/package.js';
import { aestheticFiles, isOfImageTower, towerDirectory } from './published/aesthetic.js';
import { locateClipWeights } from './published/clip-directory.js';
import { clipScoreExpected } from './published/clip-score.js';
import { PublishedDirectory } from './published/directory.js';
import { hpsFiles } from './published/hps.js';
import { imageRewardFiles } from './published/image-reward.js';
import { pickScoreExpected } from './published/pick-score.js';
import type { JudgeConfig, RewardConfig } from './registry.js';

/** A file of a reward's weights, and what is loaded of it. */
export interface WeightsFile {
  path: string;
  /** What its numbers are loaded as; undefined: as they are stored. */
  dtype?: ModelDType | undefined;
  /** Whether a tensor of this name is loaded; undefined: all are. */
  wanted?: ((name: string) => boolean) | undefined;
}

/**
 * The files that a reward's weights are loaded from; none of one that has no weights, undefined where nobody knows. Nothing in
 * them is read.
 * @throws CheckpointError, ConfigError where one is not there
 */
export async function locateReward(config: RewardConfig): Promise<WeightsFile[] | undefined> {
  switch (config.name) {
    case 'stroke-weight':
      return [];
    case 'module':
      await checkFile(config.name, config.file);
      return undefined;
    case 'torchscript':
      return [{ path: await checkFile(config.name, config.file) }];
    case 'digit-classifier':
      return [classifierIn(config.directory ?? shippedDirectory('digit-classifier'))];
    case 'pickscore':
    case 'clipscore': {
      const expected = config.name === 'pickscore' ? pickScoreExpected : clipScoreExpected;
      return [
        {
          path: await locateClipWeights(new PublishedDirectory(config.directory, expected)),
          dtype: config.dtype ?? 'float32',
        },
      ];
    }
    case 'hpsv2':
      return [await locate(config, hpsFiles)];
    case 'imagereward':
      return [await locate(config, imageRewardFiles)];
    case 'aesthetic': {
      const { directory, dtype = 'float32' } = config;
      const head = await new PublishedDirectory(directory, aestheticFiles.expected).locate(aestheticFiles.head);
      const tower = new PublishedDirectory(await towerDirectory(directory, config.tower), aestheticFiles.expectedTower);
      return [
        // The head keeps what half precision would round.
        { path: head, dtype: dtype === 'float64' ? dtype : 'float32' },
        { path: await locateClipWeights(tower), dtype, wanted: isOfImageTower },
      ];
    }
  }
}

/** The same of a judge. */
export const locateJudge = ({ directory = shippedDirectory('digit-judge') }: JudgeConfig): WeightsFile[] => [
  classifierIn(directory),
];

const classifierIn = (directory: string): WeightsFile => ({
  path: join(directory, 'model.safetensors'),
  dtype: 'float32',
});

type Published = Extract<RewardConfig, { name: 'hpsv2' | 'imagereward' }>;
async function locate(
  { directory, dtype = 'float32' }: Published,
  { weights, expected }: { weights: readonly string[]; expected: string },
): Promise<WeightsFile> {
  return { path: await new PublishedDirectory(directory, expected).locate(weights), dtype };
}

async function checkFile(reward: string, file: string): Promise<string> {
  const path = resolve(file);
  await access(path).catch((error: NodeJS.ErrnoException) => {
    throw new ConfigError(`${reward}: ${path}: ${error.code === 'ENOENT' ? 'there is no such file' : error.message}`, {
      cause: error,
    });
  });
  return path;
}
