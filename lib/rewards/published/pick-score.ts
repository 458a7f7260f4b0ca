import { clipKind } from './clip-kind.js';
import { clipReward } from './clip-reward.js';
import { clipVitH14 } from './hub-files.js';
import { checkPublished, type PublishedReward, type PublishedRewardOptions } from './published-reward.js';

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

/** Its model card reads prompts and images with the processor of the CLIP that it was trained from. */
const files = [
  { repository: 'yuvalkirstain/PickScore_v1', files: ['config.json', 'model.safetensors'] },
  { ...clipVitH14, files: ['preprocessor_config.json', ...clipVitH14.files] },
];

export const pickScoreKind = clipKind('pickscore', expected, 986e6, files, pickScore); // CLIP ViT-H/14
