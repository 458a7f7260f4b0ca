// What several of the published rewards take from the hub.

import type { HubFiles } from '../reward-kind.js';

/** A tokenizer's settings, without which the files of its vocabulary say enough. */
const tokenizerSettings = ['tokenizer_config.json', 'special_tokens_map.json'];

/** The CLIPModel whose image tower LAION's predictor reads, and which CLIPScore is computed with here. */
export const clipVitL14: HubFiles = {
  repository: 'openai/clip-vit-large-patch14',
  files: ['config.json', 'preprocessor_config.json', 'model.safetensors', 'vocab.json', 'merges.txt'],
  ifThere: tokenizerSettings,
};

/** The vocabulary of the CLIP ViT-H/14 that PickScore and HPSv2 were trained from. */
export const clipVitH14: HubFiles = {
  repository: 'laion/CLIP-ViT-H-14-laion2B-s32B-b79K',
  files: ['vocab.json', 'merges.txt'],
  ifThere: tokenizerSettings,
};
