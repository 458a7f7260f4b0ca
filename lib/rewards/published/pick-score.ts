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
const expected = 'PickScore, a CLIPModel of transformers';

/**
 * PickScore (arXiv 2305.01569): exp(logit scale) · cos(image, prompt) by a CLIP that was fine-tuned on people's
 * choices.
 * @param directory as published in yuvalkirstain/PickScore_v1, with the tokenizer's files: config.json,
 *   preprocessor_config.json, model.safetensors, vocab.json and merges.txt (or tokenizer.json)
 */
export function pickScore(directory: string, options: PublishedRewardOptions = {}): PublishedReward {
  checkPublished('pickScore', directory, options);
  return clipReward('pickscore', directory, expected, 'scaled-cosine', options);
}

export const pickScoreKind = rewardKind({
  schema: z.strictObject({
    /** The name says which reward. */
    name: z.literal('pickscore'),
    ...published,
  }),
  parameters: 986e6, // CLIP ViT-H/14, both towers
  create: (config, device, settings) => loaded(pickScore(config.directory, optionsFrom(config, settings, device))),
  locate: async ({ directory, dtype = 'float32' }) =>
    (await clipWeightsIn(directory, expected)).map((path) => ({ path, dtype })),
  verify: verifierOf(pickScore),
});
