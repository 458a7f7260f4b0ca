import { z } from 'zod';

import { published, rewardKind } from '../reward-kind.js';
import { clipWeightsIn } from './clip-directory.js';
import { clipReward } from './clip-reward.js';
import {
  checkPublished,
  loaded,
  optionsFrom,
  type PublishedReward,
  type PublishedRewardOptions,
} from './published-reward.js';
import { verifierOf } from './verifier.js';

/** What its directory holds, for messages. */
const expected = 'CLIP, a CLIPModel of transformers';

/**
 * CLIPScore (arXiv 2104.08718) without its factor of 2.5, and not clipped at 0: cos(image, prompt).
 * @param directory a CLIPModel as transformers saves it, such as openai/clip-vit-large-patch14: config.json,
 *   preprocessor_config.json, model.safetensors, vocab.json and merges.txt (or tokenizer.json)
 */
export function clipScore(directory: string, options: PublishedRewardOptions = {}): PublishedReward {
  checkPublished('clipScore', directory, options);
  return clipReward('clipscore', directory, expected, 'cosine', options);
}

export const clipScoreKind = rewardKind({
  schema: z.strictObject({
    /** The name says which reward. */
    name: z.literal('clipscore'),
    ...published,
  }),
  parameters: 428e6, // CLIP ViT-L/14, both towers
  create: (config, device, settings) => loaded(clipScore(config.directory, optionsFrom(config, settings, device))),
  locate: async ({ directory, dtype = 'float32' }) =>
    (await clipWeightsIn(directory, expected)).map((path) => ({ path, dtype })),
  verify: verifierOf(clipScore),
});
