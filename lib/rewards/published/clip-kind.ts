import { z } from 'zod';

import { published, publishedFolder, rewardKind, type HubFiles } from '../reward-kind.js';
import { clipWeightsIn } from './clip-directory.js';
import { loaded, optionsFrom, type PublishedReward, type PublishedRewardOptions } from './published-reward.js';
import { verifierOf } from './verifier.js';

/**
 * A kind of reward that reads a directory of a CLIPModel and nothing else.
 * @param expected what the directory holds, for messages
 * @param parameters numbers of both towers
 * @param files what of the hub makes such a directory
 */
export const clipKind = <Name extends string>(
  name: Name,
  expected: string,
  parameters: number,
  files: readonly HubFiles[],
  make: (directory: string, options?: PublishedRewardOptions) => PublishedReward,
) =>
  rewardKind({
    schema: z.strictObject({
      name: z.literal(name).describe('The name says which reward.'),
      ...published(name),
    }),
    parameters,
    published: files,
    create: (config, device, settings) =>
      loaded(make(publishedFolder(name, config), optionsFrom(config, settings, device))),
    locate: async ({ dtype = 'float32', ...config }) =>
      (await clipWeightsIn(publishedFolder(name, config), expected)).map((path) => ({ path, dtype })),
    verify: verifierOf(make),
  });
