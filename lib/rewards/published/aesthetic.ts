import { CheckpointError } from '../../errors.js';
import { binding } from '../../runtime/native/index.js';
import { disposeAll } from '../../files/safetensors.js';
import { readClipDirectory, type ClipDirectory } from './clip-directory.js';
import { consume, only, PublishedDirectory } from './directory.js';
import { publishedReward, type PublishedReward, type PublishedRewardOptions } from './published-reward.js';

/** Of {@link aesthetic}. */
export interface AestheticOptions extends PublishedRewardOptions {
  /** A directory of the CLIPModel whose image features the head reads, openai/clip-vit-large-patch14; default: `directory`. */
  tower?: string | undefined;
}

const head = 'sac+logos+ava1-l14-linearMSE';

/** The files that may hold its layers, and what the tower and they are, for messages. */
export const aestheticFiles = {
  head: [`${head}.safetensors`, `${head}.pth`],
  expected: "LAION's aesthetic predictor",
  expectedTower: "the aesthetic predictor's tower, a CLIPModel of transformers",
};

/** Whether a tensor of the tower's file is of what looks at images. */
export const isOfImageTower = (name: string): boolean =>
  name.startsWith('vision_model.') || name.startsWith('visual_projection.');

/**
 * LAION's aesthetic predictor (christophschuhmann/improved-aesthetic-predictor): linear layers, without activations, on
 * CLIP's L2-normalised image feature. It reads no prompts.
 * @param directory holds sac+logos+ava1-l14-linearMSE.pth, or the .safetensors that `eam convert` makes of it
 */
export function aesthetic(directory: string, options: AestheticOptions = {}): PublishedReward {
  return publishedReward(
    'aesthetic',
    async ({ dtype, device, bytes }) => {
      const tower = options.tower ?? directory;
      const { path, tensors: layers } = await new PublishedDirectory(directory, aestheticFiles.expected).tensors(
        aestheticFiles.head,
      );
      const clip = await readTower(directory, options.tower).catch((error: unknown) => {
        disposeAll(layers);
        throw error;
      });
      const tensors = only(clip.tensors, isOfImageTower);
      const width = layers['layers.0.weight']?.shape[1];
      if (width !== clip.vision.projection) {
        disposeAll(layers);
        throw new CheckpointError(
          width === undefined
            ? `${path} has no layers.0.weight of two dimensions, expected the linear layers of LAION's aesthetic predictor`
            : `${path} reads features of ${width} numbers, and the tower, ${tower}, gives ${clip.vision.projection}`,
        );
      }
      const native = await consume(`${path}, ${tower}`, { ...tensors, ...layers }, () =>
        binding().loadClipReward({
          vision: clip.vision,
          text: undefined,
          preprocess: { ...clip.preprocess, bytes },
          kind: { name: 'linear-stack', tensors: layers },
          layout: 'transformers',
          tensors,
          dtype,
          device,
        }),
      );
      return { native };
    },
    options,
  );
}

async function readTower(directory: string, tower: string | undefined): Promise<ClipDirectory> {
  return readClipDirectory(await towerDirectory(directory, tower), aestheticFiles.expectedTower);
}

/** Where the tower is. @throws CheckpointError where nobody says so and it is not beside the head */
export async function towerDirectory(directory: string, tower: string | undefined): Promise<string> {
  const files = new PublishedDirectory(
    directory,
    'the setting "tower" with the directory of the CLIPModel whose image features the predictor reads, ' +
      'openai/clip-vit-large-patch14 (--reward aesthetic=DIRECTORY,tower=DIRECTORY; eam verify: --tower DIRECTORY)',
  );
  if (tower === undefined && !files.has('config.json'))
    throw await files.refusal('no "tower" is given, and no CLIPModel lies here');
  return tower ?? directory;
}
