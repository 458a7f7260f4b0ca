import { z } from 'zod';

import { published, rewardKind } from '../reward-kind.js';
import { clipWeightsIn } from './clip-directory.js';
import { loaded, optionsFrom, type PublishedReward, type PublishedRewardOptions } from './published-reward.js';
import { verifierOf } from './verifier.js';

/**
 * A kind of reward that reads a directory of a CLIPModel and nothing else.
 * @param expected what the directory holds, for messages
 * @param parameters numbers of both towers
 */
export const clipKind = <Name extends string>(
  name: Name,
  expected: string,
  parameters: number,
  make: (directory: string, options?: PublishedRewardOptions) => PublishedReward,
) =>
  rewardKind({
    schema: z.strictObject({
      name: z.literal(name).describe('The name says which reward.'),
      ...published,
    }),
    parameters,
    create: (config, device, settings) => loaded(make(config.directory, optionsFrom(config, settings, device))),
    locate: async ({ directory, dtype = 'float32' }) =>
      (await clipWeightsIn(directory, expected)).map((path) => ({ path, dtype })),
    verify: verifierOf(make),
  });
