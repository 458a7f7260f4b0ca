import { clipReward } from './clip-reward.js';
import type { PublishedReward, PublishedRewardOptions } from './published-reward.js';

/** What its directory holds, for messages. */
export const pickScoreExpected = 'PickScore, a CLIPModel of transformers';

/**
 * PickScore (arXiv 2305.01569): exp(logit scale) · cos(image, prompt) by a CLIP that was fine-tuned on people's choices.
 * @param directory as published in yuvalkirstain/PickScore_v1, with the tokenizer's files: config.json,
 *   preprocessor_config.json, model.safetensors, vocab.json and merges.txt (or tokenizer.json)
 */
export function pickScore(directory: string, options: PublishedRewardOptions = {}): PublishedReward {
  return clipReward('pickscore', directory, pickScoreExpected, { name: 'scaled-cosine' }, options);
}
