import { clipKind } from './clip-kind.js';
import { clipReward } from './clip-reward.js';
import { clipVitL14 } from './hub-files.js';
import { checkPublished, type PublishedReward, type PublishedRewardOptions } from './published-reward.js';

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

export const clipScoreKind = clipKind('clipscore', expected, 428e6, [clipVitL14], clipScore); // CLIP ViT-L/14
