import { clipReward } from './clip-reward.js';
import type { PublishedReward, PublishedRewardOptions } from './published-reward.js';

/** What its directory holds, for messages. */
export const clipScoreExpected = 'CLIP, a CLIPModel of transformers';

/**
 * CLIPScore (arXiv 2104.08718) without its factor of 2.5, and not clipped at 0: cos(image, prompt).
 * @param directory a CLIPModel as transformers saves it, such as openai/clip-vit-large-patch14: config.json,
 *   preprocessor_config.json, model.safetensors, vocab.json and merges.txt (or tokenizer.json)
 */
export function clipScore(directory: string, options: PublishedRewardOptions = {}): PublishedReward {
  return clipReward('clipscore', directory, clipScoreExpected, { name: 'cosine' }, options);
}
