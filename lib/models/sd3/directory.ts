import { join } from 'node:path';

import type { z } from 'zod';

import { expected } from '../../schema/validate.js';
import { CheckpointError, ConfigError } from '../../errors.js';
import type {
  AutoencoderKlConfig,
  ClipTextConfig,
  Sd3TransformerConfig,
  T5EncoderConfig,
} from '../../runtime/native/binding.js';
import { autoencoderSchema, downsampling, toAutoencoderConfig } from '../autoencoder-kl/config.js';
import {
  readComponent,
  readIndex,
  type Component,
  type PipelineClasses,
  type TextComponent,
} from '../pipeline/directory.js';
import {
  clipTextSchema,
  t5Schema,
  toClipTextConfig,
  toT5Config,
  toTransformerConfig,
  transformerSchema,
} from './config.js';
import { schedulerSchema, toSchedulerConfig, type SchedulerConfig } from './scheduler.js';

/** A directory of Stable Diffusion 3, 3.5 Medium or 3.5 Large, as diffusers stores it. */
export interface Sd3Directory {
  path: string;
  transformer: Component<Sd3TransformerConfig>;
  autoencoder: Component<AutoencoderKlConfig>;
  scheduler: SchedulerConfig;
  /** CLIP-L and CLIP-G. */
  clip: readonly [TextComponent<ClipTextConfig>, TextComponent<ClipTextConfig>];
  /** Undefined where the directory was stored without it: its states are then zeros. */
  t5: TextComponent<T5EncoderConfig> | undefined;
  /** Side, in pixels, of the images that the transformer was made for. */
  imageSize: number;
  /** Both sides of an image are multiples of it, in pixels: a patch of latents. */
  granularity: number;
}

/** What such a directory's model_index.json says. */
export const sd3Classes = {
  pipeline: 'StableDiffusion3Pipeline',
  components: {
    transformer: ['SD3Transformer2DModel'],
    vae: ['AutoencoderKL'],
    scheduler: ['FlowMatchEulerDiscreteScheduler'],
    text_encoder: ['CLIPTextModelWithProjection'],
    text_encoder_2: ['CLIPTextModelWithProjection'],
    text_encoder_3: ['T5EncoderModel'],
    tokenizer: ['CLIPTokenizer', 'CLIPTokenizerFast'],
    tokenizer_2: ['CLIPTokenizer', 'CLIPTokenizerFast'],
    tokenizer_3: ['T5Tokenizer', 'T5TokenizerFast'],
  },
  optional: ['text_encoder_3', 'tokenizer_3'],
} as const satisfies PipelineClasses;

type ComponentName = keyof typeof sd3Classes.components;

/**
 * Reads the configuration of a directory in diffusers' layout; weights are not touched.
 * @throws ConfigError for another pipeline, another class of component, a setting that the native networks do not have;
 *   CheckpointError for a component that is not there, or whose sizes do not fit the others'
 */
export async function readSd3Directory(path: string): Promise<Sd3Directory> {
  const { path: indexPath, absent } = await readIndex<ComponentName>(path, sd3Classes);
  if (absent.has('tokenizer_3') && !absent.has('text_encoder_3')) {
    throw new ConfigError(`${indexPath}: tokenizer_3 is left out, and text_encoder_3 is not`);
  }
  const withT5 = !absent.has('text_encoder_3');
  const config = <Json, Config>(name: ComponentName, schema: z.ZodType<Json>, convert: (json: Json) => Config) =>
    readComponent(path, name, schema, convert);
  const orWithout = (error: unknown): never => {
    throw error instanceof CheckpointError
      ? new CheckpointError(
          `${error.message}. To do without T5, set text_encoder_3 and tokenizer_3 to [null, null] in ${indexPath}`,
          { cause: error },
        )
      : error;
  };
  // The transformer's sample_size is not the network's own: it is what the pipeline draws.
  const transformer = await config('transformer', transformerSchema, (json) => ({
    network: toTransformerConfig(json),
    sampleSize: json.sample_size,
  }));
  const autoencoder = await config('vae', autoencoderSchema, toAutoencoderConfig);
  const { config: scheduler } = await config('scheduler', schedulerSchema, toSchedulerConfig);
  const clip = async (name: 'text_encoder' | 'text_encoder_2', tokenizer: string) => ({
    ...(await config(name, clipTextSchema, toClipTextConfig)),
    tokenizer: join(path, tokenizer),
  });
  const { network, sampleSize } = transformer.config;
  return assembleDirectory({
    path,
    transformer: { directory: transformer.directory, config: network },
    sampleSize,
    autoencoder,
    scheduler,
    clip: [await clip('text_encoder', 'tokenizer'), await clip('text_encoder_2', 'tokenizer_2')],
    t5: withT5
      ? {
          ...(await config('text_encoder_3', t5Schema, toT5Config).catch(orWithout)),
          tokenizer: join(path, 'tokenizer_3'),
        }
      : undefined,
  });
}

/**
 * The whole of its parts.
 * @param parts with the side, in latents, of what the transformer was made for
 * @throws CheckpointError where their sizes do not fit together
 */
export function assembleDirectory({
  sampleSize,
  ...parts
}: Omit<Sd3Directory, 'imageSize' | 'granularity'> & { sampleSize: number }): Sd3Directory {
  const scale = downsampling(parts.autoencoder.config);
  const { patchSize } = parts.transformer.config;
  const directory = { ...parts, imageSize: sampleSize * scale, granularity: patchSize * scale };
  checkSizes(directory);
  return directory;
}

/** The networks must fit each other; that each has weights of its own sizes is seen when it is loaded. */
function checkSizes({ path, transformer: { config: transformer }, autoencoder, clip, t5 }: Sd3Directory): void {
  const expect = (found: number, wanted: number, what: string) => {
    if (found !== wanted)
      throw new CheckpointError(expected(`${path}: ${what}`, 'equal numbers', `${found} and ${wanted}`));
  };
  expect(
    autoencoder.config.latentChannels,
    transformer.inChannels,
    "the autoencoder's latent_channels and the transformer's in_channels",
  );
  const pooled = clip[0].config.projection + clip[1].config.projection;
  expect(
    pooled,
    transformer.pooledProjectionDim,
    "the sum of the CLIP encoders' projection_dim and the transformer's pooled_projection_dim",
  );
  if (t5)
    expect(
      t5.config.width,
      transformer.jointAttentionDim,
      "the T5 encoder's d_model and the transformer's joint_attention_dim",
    );
  const joined = clip[0].config.width + clip[1].config.width;
  if (joined > transformer.jointAttentionDim) {
    throw new CheckpointError(
      `${path}: the CLIP encoders' hidden_size, ${joined} in all, is more than the transformer's ` +
        `joint_attention_dim, ${transformer.jointAttentionDim}`,
    );
  }
}
