import { z } from 'zod';

import { expected, validate } from '../../schema/validate.js';
import { ConfigError } from '../../errors.js';
import { placeOf } from '../../files/hub-cache.js';
import { shapesOf, withWeights } from '../../files/weights.js';
import { binding } from '../../runtime/native/index.js';
import { loadBertTokenizer } from '../../models/tokenizers/bert.js';
import { folder, published, publishedFolder, rewardKind } from '../reward-kind.js';
import { clipNormalisation } from './clip-directory.js';
import { headsOf, layersOf, PublishedDirectory, sideOf, sizeOf, type Shapes } from './directory.js';
import {
  checkPublished,
  loaded,
  optionsFrom,
  publishedReward,
  type PublishedReward,
  type PublishedRewardOptions,
} from './published-reward.js';
import { verifierOf } from './verifier.js';

/** These are the options of {@link imageReward}. */
export interface ImageRewardOptions extends PublishedRewardOptions {
  /** The directory of vocab.txt of bert-base-uncased; default: the reward's own. */
  tokenizer?: string | undefined;
}

/** The files that may hold its weights, and what belongs beside them, for messages. */
const imageRewardFiles = {
  weights: ['ImageReward.safetensors', 'ImageReward.pt'],
  expected: 'ImageReward: ImageReward.pt, med_config.json and vocab.txt',
};

/** Mean and standard deviation of its training set's scores, as its code has them. */
const [mean, std] = [0.16717362830052426, 1.0333394966054072];
/** Tokens of a prompt, as its code has it. */
const promptLength = 35;

const size = z.int().min(1);
const schema = z.object({
  hidden_size: size,
  intermediate_size: size,
  num_hidden_layers: size,
  num_attention_heads: size,
  max_position_embeddings: size.min(promptLength),
  vocab_size: size,
  layer_norm_eps: z.number().gt(0),
  hidden_act: z.literal('gelu').default('gelu'),
  vision: z
    .object({ num_heads: size })
    .optional()
    .describe('Not in the published file: its code names BLIP-large, whose heads are 64 wide.'),
});

/**
 * ImageReward (arXiv 2304.05977): BLIP reads image and prompt together, and a head gives a number, normalised.
 * @param directory holds ImageReward.pt and med_config.json as published in THUDM/ImageReward (the .pt may be the
 *   .safetensors that `eam convert` makes of it), and vocab.txt of bert-base-uncased
 */
export function imageReward(directory: string, options: ImageRewardOptions = {}): PublishedReward {
  checkPublished('imageReward', directory, options, { tokenizer: z.string().min(1) });
  return publishedReward(
    'imagereward',
    {
      folders: [directory, options.tokenizer ?? directory].map(placeOf),
      weights: async () => [await weightsIn(directory)],
    },
    async ({ dtype, device, bytes }) => {
      const files = new PublishedDirectory(directory, imageRewardFiles.expected);
      const config = validate(schema, await files.json('med_config.json'), files.file('med_config.json'));
      const vocabulary = new PublishedDirectory(
        options.tokenizer ?? directory,
        "ImageReward's vocab.txt, that of bert-base-uncased",
      );
      if (!vocabulary.has('vocab.txt')) throw await vocabulary.refusal('there is no vocab.txt');
      const tokenizer = await loadBertTokenizer(vocabulary.file('vocab.txt'), promptLength);
      if (tokenizer.size !== config.vocab_size) {
        throw new ConfigError(
          expected(
            vocabulary.file('vocab.txt'),
            `${config.vocab_size} tokens, [DEC] and [ENC] included, as med_config.json and bert-base-uncased have`,
            tokenizer.size,
          ),
        );
      }
      const path = await weightsIn(directory);
      const native = await withWeights(path, [{ path }], (weights) => {
        const vision = visionSizes(shapesOf(weights), path, config.vision?.num_heads);
        const text = {
          vocabulary: config.vocab_size,
          width: config.hidden_size,
          intermediate: config.intermediate_size,
          layers: config.num_hidden_layers,
          heads: config.num_attention_heads,
          positions: config.max_position_embeddings,
          layerNormEpsilon: config.layer_norm_eps,
          // As its code does: med_config.json's encoder_width is that of BLIP-base.
          encoderWidth: vision.width,
        };
        const preprocess = { fit: 'crop', size: vision.imageSize, ...clipNormalisation, bytes } as const;
        return binding().loadNetwork('blip-reward', {
          config: { vision, text, preprocess, mean, std },
          weights,
          dtype,
          device,
        });
      });
      return { native, tokenizer };
    },
    options,
  );
}

const weightsIn = (directory: string): Promise<string> =>
  new PublishedDirectory(directory, imageRewardFiles.expected).locate(imageRewardFiles.weights);

function visionSizes(shapes: Shapes, path: string, heads: number | undefined) {
  const of = (name: string, dimension: number) => sizeOf(shapes, path, `blip.visual_encoder.${name}`, dimension);
  const [width, patchSize] = [of('patch_embed.proj.weight', 0), of('patch_embed.proj.weight', 2)];
  return {
    width,
    patchSize,
    intermediate: of('blocks.0.mlp.fc1.weight', 0),
    layers: layersOf(shapes, 'blip.visual_encoder.blocks.'),
    heads:
      heads ??
      headsOf(width, 64, `${path}; for another model than BLIP-large, med_config.json's "vision" says num_heads`),
    layerNormEpsilon: 1e-6,
    imageSize: sideOf(of('pos_embed', 1) - 1, patchSize, path),
  };
}

export const imageRewardKind = rewardKind({
  schema: z.strictObject({
    name: z.literal('imagereward').describe('The name says which reward.'),
    ...published('imagereward'),
    tokenizer: folder.describe(
      'The vocabulary of its text encoder is in this folder, or of this name of the hub; left out, it is in ' +
        '`directory`.',
    ),
  }),
  parameters: 447e6, // BLIP's ViT-L/16 and BERT
  published: [
    { repository: 'THUDM/ImageReward', files: ['ImageReward.pt', 'med_config.json'] },
    { repository: 'google-bert/bert-base-uncased', files: ['vocab.txt'] },
  ],
  create: (config, device, settings) =>
    loaded(imageReward(publishedFolder('imagereward', config), optionsFrom(config, settings, device))),
  locate: async ({ dtype = 'float32', ...config }) => [
    { path: await weightsIn(publishedFolder('imagereward', config)), dtype },
  ],
  verify: verifierOf(imageReward),
});
