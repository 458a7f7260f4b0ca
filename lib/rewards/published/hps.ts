import { z } from 'zod';

import { expected, validate } from '../../schema/validate.js';
import { ConfigError } from '../../errors.js';
import { placeOf } from '../../files/hub-cache.js';
import { shapesOf, withWeights } from '../../files/weights.js';
import type { ClipTextConfig, ClipVisionConfig } from '../../runtime/native/binding.js';
import { binding } from '../../runtime/native/index.js';
import { loadClipTokenizer } from '../../models/tokenizers/clip.js';
import { folder, published, publishedFolder, rewardKind } from '../reward-kind.js';
import { clipNormalisation } from './clip-directory.js';
import { clipVitH14 } from './hub-files.js';
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

/** These are the options of {@link hpsv2}. */
export interface HpsOptions extends PublishedRewardOptions {
  /** The directory of CLIP's vocab.json and merges.txt (or tokenizer.json); default: the reward's own. */
  tokenizer?: string | undefined;
}

const size = z.int().min(1);
const modelSchema = z.object({
  vision_cfg: z.object({ head_width: size.default(64) }),
  text_cfg: z.object({ heads: size.default(8) }),
  quick_gelu: z.boolean().default(false),
});

/** The files that may hold its weights, and what belongs beside them, for messages. */
const hpsFiles = {
  weights: ['HPS_v2.1_compressed.safetensors', 'HPS_v2.1_compressed.pt'],
  expected: 'HPSv2.1, a CLIP in the layout of open_clip',
};

/** The heads of open_clip's ViT-H-14, which HPSv2's code names: the one size that the weights' shapes do not tell. */
const vitH14 = { visionWidth: 1280, visionHeads: 16, textWidth: 1024, textHeads: 16 };

/**
 * HPSv2.1 (arXiv 2306.09341): cos(image, prompt) by a CLIP in open_clip's layout, the whole image padded to a square.
 * @param directory holds HPS_v2.1_compressed.pt as published in xswu/HPSv2, or the .safetensors that `eam convert`
 * makes of it; vocab.json and merges.txt of any CLIP; for a model of another size open_clip_config.json
 */
export function hpsv2(directory: string, options: HpsOptions = {}): PublishedReward {
  checkPublished('hpsv2', directory, options, { tokenizer: z.string().min(1) });
  const vocabulary = placeOf(options.tokenizer ?? directory);
  return publishedReward(
    'hpsv2',
    {
      folders: [placeOf(directory), vocabulary],
      weights: async () => [await weightsIn(directory)],
    },
    async ({ dtype, device, bytes }) => {
      const path = await weightsIn(directory);
      const heads = await readHeads(new PublishedDirectory(directory, hpsFiles.expected));
      return withWeights(path, [{ path, within: 'state_dict.' }], async (weights) => {
        const { vision, text } = sizes(shapesOf(weights), path, heads);
        const tokenizer = await loadClipTokenizer(vocabulary, {
          padding: openClipPadding,
          positions: text.positions,
        });
        const preprocess = { fit: 'pad', size: vision.imageSize, ...clipNormalisation, bytes } as const;
        const config = { vision, text, preprocess, kind: 'cosine', layout: 'open_clip' } as const;
        const native = await binding().loadNetwork('clip-reward', { config, weights, dtype, device });
        return { native, tokenizer };
      });
    },
    options,
  );
}

const weightsIn = (directory: string): Promise<string> =>
  new PublishedDirectory(directory, hpsFiles.expected).locate(hpsFiles.weights);

/** open_clip's own tokenizer pads with zeros. */
const openClipPadding = 0;

type Heads = { source: string; headWidth: number; textHeads: number; quickGelu: boolean };

async function readHeads(files: PublishedDirectory): Promise<Heads | undefined> {
  const name = 'open_clip_config.json';
  if (!files.has(name)) return undefined;
  const json = (await files.json(name)) as { model_cfg?: unknown } | null;
  const { vision_cfg, text_cfg, quick_gelu } = validate(modelSchema, json?.model_cfg ?? json, files.file(name));
  return {
    source: files.file(name),
    headWidth: vision_cfg.head_width,
    textHeads: text_cfg.heads,
    quickGelu: quick_gelu,
  };
}

function sizes(
  shapes: Shapes,
  path: string,
  heads: Heads | undefined,
): { vision: ClipVisionConfig; text: ClipTextConfig } {
  const of = (name: string, dimension: number) => sizeOf(shapes, path, name, dimension);
  const [width, patchSize] = [of('visual.conv1.weight', 0), of('visual.conv1.weight', 2)];
  const textWidth = of('token_embedding.weight', 1);
  if (!heads && (width !== vitH14.visionWidth || textWidth !== vitH14.textWidth)) {
    throw new ConfigError(
      expected(
        path,
        `towers of ${vitH14.visionWidth} and ${vitH14.textWidth} numbers, those of ViT-H-14`,
        `${width} and ${textWidth}; for another model put open_clip_config.json beside it, whose head_width and ` +
          'heads are not in the weights',
      ),
    );
  }
  const common = {
    activation: heads?.quickGelu ? 'quick_gelu' : 'gelu',
    layerNormEpsilon: 1e-5,
    projection: of('text_projection', 1),
  } as const;
  return {
    vision: {
      ...common,
      width,
      intermediate: of('visual.transformer.resblocks.0.mlp.c_fc.weight', 0),
      layers: layersOf(shapes, 'visual.transformer.resblocks.'),
      heads: heads ? headsOf(width, heads.headWidth, `${heads.source}, vision_cfg.head_width`) : vitH14.visionHeads,
      imageSize: sideOf(of('visual.positional_embedding', 0) - 1, patchSize, path),
      patchSize,
    },
    text: {
      ...common,
      width: textWidth,
      intermediate: of('transformer.resblocks.0.mlp.c_fc.weight', 0),
      layers: layersOf(shapes, 'transformer.resblocks.'),
      heads: heads?.textHeads ?? vitH14.textHeads,
      vocabulary: of('token_embedding.weight', 0),
      positions: of('positional_embedding', 0),
      eosToken: undefined,
    },
  };
}

export const hpsv2Kind = rewardKind({
  schema: z.strictObject({
    name: z.literal('hpsv2').describe('The name says which reward.'),
    ...published('hpsv2'),
    tokenizer: folder.describe(
      'The vocabulary of its text encoder is in this folder, or of this name of the hub; left out, it is in ' +
        '`directory`.',
    ),
  }),
  parameters: 986e6, // CLIP ViT-H/14, both towers
  published: [{ repository: 'xswu/HPSv2', files: ['HPS_v2.1_compressed.pt'] }, clipVitH14],
  create: (config, device, settings) =>
    loaded(hpsv2(publishedFolder('hpsv2', config), optionsFrom(config, settings, device))),
  locate: async ({ dtype = 'float32', ...config }) => [
    { path: await weightsIn(publishedFolder('hpsv2', config)), dtype },
  ],
  verify: verifierOf(hpsv2),
});
