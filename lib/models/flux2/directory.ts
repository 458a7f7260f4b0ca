import { join } from 'node:path';

import { z } from 'zod';

import { CheckpointError } from '../../errors.js';
import type {
  Flux2AutoencoderConfig,
  Flux2TransformerConfig,
  Qwen3EncoderConfig,
} from '../../runtime/native/binding.js';
import { expected, validate } from '../../schema/validate.js';
import {
  readComponent,
  readIndex,
  type Component,
  type PipelineClasses,
  type TextComponent,
} from '../pipeline/directory.js';
import {
  autoencoderSchema,
  latentChannels,
  latentSide,
  readStates,
  textSchema,
  toAutoencoderConfig,
  toTextConfig,
  toTransformerConfig,
  transformerSchema,
} from './config.js';
import { schedulerSchema, toSchedulerConfig, type SchedulerConfig } from './scheduler.js';

/** A directory of FLUX.2 [klein], as diffusers stores it. */
export interface Flux2Directory {
  path: string;
  transformer: Component<Flux2TransformerConfig>;
  autoencoder: Component<Flux2AutoencoderConfig>;
  scheduler: SchedulerConfig;
  text: TextComponent<Qwen3EncoderConfig>;
  /** Whether it was distilled to a few steps, and from guidance. */
  distilled: boolean;
  /** Side, in pixels, of the images that it draws where nobody says. */
  imageSize: number;
  /** Both sides of an image are multiples of it, in pixels: of a latent. */
  granularity: number;
}

/** What such a directory's model_index.json says. */
export const flux2Classes = {
  pipeline: 'Flux2KleinPipeline',
  components: {
    transformer: ['Flux2Transformer2DModel'],
    vae: ['AutoencoderKLFlux2'],
    scheduler: ['FlowMatchEulerDiscreteScheduler'],
    text_encoder: ['Qwen3ForCausalLM'],
    tokenizer: ['Qwen2TokenizerFast', 'Qwen2Tokenizer'],
  },
} as const satisfies PipelineClasses;

const distilledSchema = z.object({ is_distilled: z.boolean().nullish() });

/** Whether model_index.json says that the model was distilled. @throws ConfigError for anything but true or false */
export const isDistilled = (json: unknown, path: string): boolean =>
  validate(distilledSchema, json, path).is_distilled ?? false;

/** The pipeline draws so many latents a side where nobody says. They are counted before squares of them become one. */
const defaultLatents = 128;

/**
 * Reads the configuration of a directory in diffusers' layout; weights are not touched.
 * @throws ConfigError for another pipeline, another class of component, a setting that the native networks do not have;
 *   CheckpointError for a component that is not there, or whose sizes do not fit the others'
 */
export async function readFlux2Directory(path: string): Promise<Flux2Directory> {
  const { json, path: indexPath } = await readIndex(path, flux2Classes);
  return assembleDirectory({
    path,
    transformer: await readComponent(path, 'transformer', transformerSchema, toTransformerConfig),
    autoencoder: await readComponent(path, 'vae', autoencoderSchema, toAutoencoderConfig),
    scheduler: (await readComponent(path, 'scheduler', schedulerSchema, toSchedulerConfig)).config,
    text: {
      ...(await readComponent(path, 'text_encoder', textSchema, toTextConfig)),
      tokenizer: join(path, 'tokenizer'),
    },
    distilled: isDistilled(json, indexPath),
  });
}

/**
 * The whole of its parts.
 * @throws CheckpointError where their sizes do not fit together
 */
export function assembleDirectory(parts: Omit<Flux2Directory, 'imageSize' | 'granularity'>): Flux2Directory {
  const { path, transformer, autoencoder, text } = parts;
  const expect = (found: number, wanted: number, what: string) => {
    if (found !== wanted)
      throw new CheckpointError(expected(`${path}: ${what}`, 'equal numbers', `${found} and ${wanted}`));
  };
  expect(
    latentChannels(autoencoder.config),
    transformer.config.inChannels,
    "the autoencoder's latent_channels in a patch and the transformer's in_channels",
  );
  expect(
    readStates.length * text.config.width,
    transformer.config.jointAttentionDim,
    `${readStates.length} times the text encoder's hidden_size and the transformer's joint_attention_dim`,
  );
  const granularity = latentSide(autoencoder.config);
  const { patchSize } = autoencoder.config;
  return { ...parts, imageSize: defaultLatents * (granularity / patchSize), granularity };
}
