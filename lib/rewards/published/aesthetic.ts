import { existsSync } from 'node:fs';
import { join, resolve } from 'node:path';

import { z } from 'zod';

import { expected } from '../../schema/validate.js';
import { CheckpointError } from '../../errors.js';
import { binding } from '../../runtime/native/index.js';
import { placeOf } from '../../files/hub-cache.js';
import { shapesOf, withWeights } from '../../files/weights.js';
import { folder, published, publishedFolder, rewardKind } from '../reward-kind.js';
import { clipWeightsIn, readClipDirectory, type ClipDirectory } from './clip-directory.js';
import { PublishedDirectory } from './directory.js';
import { clipVitL14 } from './hub-files.js';
import {
  checkPublished,
  loaded,
  optionsFrom,
  publishedReward,
  type PublishedReward,
  type PublishedRewardOptions,
} from './published-reward.js';
import { verifierOf } from './verifier.js';

/** These are the options of {@link aesthetic}. */
export interface AestheticOptions extends PublishedRewardOptions {
  /**
   * A directory of the CLIPModel whose image features the head reads, openai/clip-vit-large-patch14; default:
   * `directory`.
   */
  tower?: string | undefined;
}

const head = 'sac+logos+ava1-l14-linearMSE';

/** The files that may hold its layers, and what the tower and they are, for messages. */
const aestheticFiles = {
  head: [`${head}.safetensors`, `${head}.pth`],
  expected: "LAION's aesthetic predictor",
  expectedTower: "the aesthetic predictor's tower, a CLIPModel of transformers",
};

/** How the names begin of those tensors of the tower's file that look at images. */
const ofImageTower = ['vision_model.', 'visual_projection.'];

/**
 * LAION's aesthetic predictor (christophschuhmann/improved-aesthetic-predictor): linear layers, without activations, on
 * CLIP's L2-normalised image feature. It reads no prompts.
 * @param directory holds sac+logos+ava1-l14-linearMSE.pth, or the .safetensors that `eam convert` makes of it
 */
export function aesthetic(directory: string, options: AestheticOptions = {}): PublishedReward {
  checkPublished('aesthetic', directory, options, { tower: z.string().min(1) });
  return publishedReward(
    'aesthetic',
    {
      folders: [directory, options.tower ?? directory].map(placeOf),
      async weights() {
        const { head, tower } = await weightsIn(directory, options.tower);
        return [head, ...tower];
      },
    },
    async ({ dtype, device, bytes }) => {
      const tower = options.tower ?? directory;
      const path = await new PublishedDirectory(directory, aestheticFiles.expected).locate(aestheticFiles.head);
      const clip = await readTower(directory, options.tower);
      const files = [{ path, under: 'head.' }, ...clip.weights.map((file) => ({ path: file, only: ofImageTower }))];
      const native = await withWeights(`${path}, ${tower}`, files, (weights) => {
        const width = shapesOf(weights)['head.layers.0.weight']?.[1];
        if (width !== clip.vision.projection) {
          throw new CheckpointError(
            width === undefined
              ? expected(
                  'the first',
                  "the linear layers of LAION's aesthetic predictor",
                  'no layers.0.weight of two dimensions',
                )
              : expected('the head', `features of ${clip.vision.projection} numbers, as ${tower} gives`, width),
          );
        }
        const config = {
          vision: clip.vision,
          preprocess: { ...clip.preprocess, bytes },
          kind: 'linear-stack',
          layout: 'transformers',
        } as const;
        return binding().loadNetwork('clip-reward', { config, weights, dtype, device });
      });
      return { native };
    },
    options,
  );
}

async function weightsIn(directory: string, tower: string | undefined) {
  return {
    head: await new PublishedDirectory(directory, aestheticFiles.expected).locate(aestheticFiles.head),
    tower: await clipWeightsIn(await towerDirectory(directory, tower), aestheticFiles.expectedTower),
  };
}

async function readTower(directory: string, tower: string | undefined): Promise<ClipDirectory> {
  return readClipDirectory(await towerDirectory(directory, tower), aestheticFiles.expectedTower);
}

/** Where the tower is. @throws CheckpointError where nobody says so and it is not beside the head */
async function towerDirectory(directory: string, tower: string | undefined): Promise<string> {
  const files = new PublishedDirectory(
    directory,
    'the setting "tower" with the directory of the CLIPModel whose image features the predictor reads, ' +
      'openai/clip-vit-large-patch14 (--reward aesthetic=DIRECTORY,tower=DIRECTORY; eam verify: --tower DIRECTORY)',
  );
  if (tower === undefined && !files.has('config.json'))
    throw await files.refusal('no "tower" is given, and no CLIPModel lies here');
  return tower ?? directory;
}

export const aestheticKind = rewardKind({
  schema: z.strictObject({
    name: z.literal('aesthetic').describe('The name says which reward.'),
    ...published('aesthetic'),
    tower: folder.describe(
      'The CLIP model whose features it reads is in this folder, or of this name of the hub; left out, it is in ' +
        '`directory`.',
    ),
  }),
  parameters: 305e6, // ViT-L/14's image tower and a small head
  published: [
    // Its authors publish it on GitHub; this copy is checked against that file.
    {
      repository: 'camenduru/improved-aesthetic-predictor',
      files: [`${head}.pth`],
      sha256: { [`${head}.pth`]: '21dd590f3ccdc646f0d53120778b296013b096a035a2718c9cb0d511bff0f1e0' },
    },
    { repository: clipVitL14.repository, files: ['config.json', 'preprocessor_config.json', 'model.safetensors'] },
  ],
  create: (config, device, settings) =>
    loaded(aesthetic(publishedFolder('aesthetic', config), optionsFrom(config, settings, device))),
  async locate({ dtype = 'float32', tower, ...config }) {
    const files = await weightsIn(publishedFolder('aesthetic', config), tower);
    return [
      // The head keeps what half precision would round.
      { path: files.head, dtype: dtype === 'float64' ? dtype : 'float32' },
      ...files.tower.map((path) => ({ path, dtype, only: ofImageTower })),
    ];
  },
  verify: verifierOf((directory, options) =>
    aesthetic(directory, { ...options, tower: options.tower ?? towerBeside(directory) }),
  ),
});

/** Where the head lies alone, the tower is looked for in the reward whose tower it shares, beside it. */
function towerBeside(directory: string): string | undefined {
  const beside = join(resolve(directory), '..', 'clipscore');
  return existsSync(join(directory, 'config.json')) || !existsSync(beside) ? undefined : beside;
}
