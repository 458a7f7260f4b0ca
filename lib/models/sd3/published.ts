import type { Sd3TransformerConfig } from '../../runtime/native/binding.js';
import { autoencoderSchema, toAutoencoderConfig } from '../autoencoder-kl/config.js';
import type { StoredTensor } from '../pipeline/layers.js';
import {
  clipTextSchema,
  isDual,
  t5Schema,
  toClipTextConfig,
  toT5Config,
  toTransformerConfig,
  transformerSchema,
  widthOf,
} from './config.js';
import { assembleDirectory, type Sd3Directory } from './directory.js';
import { toSchedulerConfig, schedulerSchema } from './scheduler.js';

// What the config.json files of the published models hold, as far as they differ from their constructors' defaults:
// enough to plan for a model that has not been downloaded.

const upTo = (count: number): number[] => Array.from({ length: count }, (_, index) => index);

/** 24 heads and layers, as of both that are called Medium. */
const medium = { num_layers: 24, num_attention_heads: 24, caption_projection_dim: 1536 };
const normalised = { qk_norm: 'rms_norm' };

const transformers = {
  'sd3-medium': { ...medium, pos_embed_max_size: 192 },
  'sd3.5-medium': { ...medium, ...normalised, pos_embed_max_size: 384, dual_attention_layers: upTo(13) },
  'sd3.5-large': {
    ...normalised,
    num_layers: 38,
    num_attention_heads: 38,
    caption_projection_dim: 2432,
    pos_embed_max_size: 192,
  },
} as const;

const autoencoder = {
  down_block_types: Array<string>(4).fill('DownEncoderBlock2D'),
  up_block_types: Array<string>(4).fill('UpDecoderBlock2D'),
  block_out_channels: [128, 256, 512, 512],
  layers_per_block: 2,
  latent_channels: 16,
  scaling_factor: 1.5305,
  shift_factor: 0.0609,
  use_quant_conv: false,
  use_post_quant_conv: false,
};
const clipL = { hidden_size: 768, intermediate_size: 3072, projection_dim: 768, num_attention_heads: 12 };
const clipG = {
  hidden_size: 1280,
  intermediate_size: 5120,
  projection_dim: 1280,
  num_hidden_layers: 32,
  num_attention_heads: 20,
  hidden_act: 'gelu',
};
const t5 = { d_model: 4096, d_ff: 10240, num_layers: 24, num_heads: 64, feed_forward_proj: 'gated-gelu' };

/** How many numbers the networks have, tables that are not trained among them. */
const shared = { autoencoder: 83_819_683, clipL: 123_650_304, clipG: 694_659_840, t5: 4_762_310_656 };
const transformerParameters = {
  'sd3-medium': 2_084_951_104,
  'sd3.5-medium': 2_469_663_936,
  'sd3.5-large': 8_146_280_768,
} as const satisfies Record<keyof typeof transformers, number>;

export const publishedNames = Object.keys(transformers) as (keyof typeof transformers)[];

/** What is known of a published model. */
export interface PublishedSd3 {
  directory: Sd3Directory;
  parameters: typeof shared & { transformer: number };
  /** The matrices of the transformer's linear layers. */
  transformerLayers: StoredTensor[];
  /** What weights are stored as. */
  dtype: 'float16';
  /** Tokens that both CLIP encoders read. */
  clipLength: number;
}

/** A published model, of which no file is there. @param name one of `publishedNames` */
export function publishedSd3(name: string): PublishedSd3 {
  const own = name as keyof typeof transformers;
  const json = transformerSchema.parse({ _class_name: 'SD3Transformer2DModel', ...transformers[own] });
  const config = toTransformerConfig(json);
  const vae = autoencoderSchema.parse({ _class_name: 'AutoencoderKL', ...autoencoder });
  const text = (of: object) => ({
    directory: name,
    tokenizer: name,
    config: toClipTextConfig(clipTextSchema.parse(of)),
  });
  const directory = assembleDirectory({
    path: name,
    transformer: { directory: name, config },
    sampleSize: json.sample_size,
    autoencoder: { directory: name, config: toAutoencoderConfig(vae) },
    scheduler: toSchedulerConfig(schedulerSchema.parse({ _class_name: 'FlowMatchEulerDiscreteScheduler', shift: 3 })),
    clip: [text(clipL), text(clipG)],
    t5: { directory: name, tokenizer: name, config: toT5Config(t5Schema.parse(t5)) },
  });
  return {
    directory,
    parameters: { ...shared, transformer: transformerParameters[own] },
    transformerLayers: matricesOf(config),
    dtype: 'float16',
    clipLength: 77,
  };
}

/** Numbers of the sinusoidal embedding of time. */
const timeChannels = 256;

/** A test holds these against the native network's own. */
function matricesOf(config: Sd3TransformerConfig): StoredTensor[] {
  const width = widthOf(config);
  const of = (name: string, inputs = width, outputs = width): StoredTensor => ({
    name: `${name}.weight`,
    shape: [outputs, inputs],
  });
  const block = (index: number): StoredTensor[] => {
    const prefix = `transformer_blocks.${index}.`;
    const last = index === config.layers - 1;
    const dual = isDual(config, index);
    const square = (...names: string[]) => names.map((name) => of(prefix + name));
    const feedForward = (name: string) => [
      of(`${prefix}${name}.net.0.proj`, width, 4 * width),
      of(`${prefix}${name}.net.2`, 4 * width, width),
    ];
    return [
      of(`${prefix}norm1.linear`, width, (dual ? 9 : 6) * width),
      of(`${prefix}norm1_context.linear`, width, (last ? 2 : 6) * width),
      ...square('attn.to_q', 'attn.to_k', 'attn.to_v', 'attn.to_out.0'),
      ...square('attn.add_q_proj', 'attn.add_k_proj', 'attn.add_v_proj'),
      ...(last ? [] : square('attn.to_add_out')),
      ...(dual ? square('attn2.to_q', 'attn2.to_k', 'attn2.to_v', 'attn2.to_out.0') : []),
      ...feedForward('ff'),
      ...(last ? [] : feedForward('ff_context')),
    ];
  };
  return [
    of('time_text_embed.timestep_embedder.linear_1', timeChannels),
    of('time_text_embed.timestep_embedder.linear_2'),
    of('time_text_embed.text_embedder.linear_1', config.pooledProjectionDim),
    of('time_text_embed.text_embedder.linear_2'),
    of('context_embedder', config.jointAttentionDim),
    of('norm_out.linear', width, 2 * width),
    of('proj_out', width, config.patchSize ** 2 * config.outChannels),
    ...Array.from({ length: config.layers }, (_, index) => block(index)).flat(),
  ];
}
