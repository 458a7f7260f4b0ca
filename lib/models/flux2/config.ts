import { z } from 'zod';

import type {
  Flux2AutoencoderConfig,
  Flux2TransformerConfig,
  Qwen3EncoderConfig,
} from '../../runtime/native/binding.js';
import { checkHalves, downsampling, halvesShape, toHalves } from '../autoencoder-kl/config.js';

// The config.json of each component, as diffusers and transformers write it. Defaults are those of their constructors;
// what a constructor knows and the native networks do not is refused by name; other keys say nothing of the network.

const size = z.int().min(1);

/** image, row, column and place in the text: what the pipeline gives tokens positions on. */
const axes = 4;

export const transformerSchema = z
  .object({
    _class_name: z.literal('Flux2Transformer2DModel'),
    patch_size: z.literal(1).default(1),
    in_channels: size.default(128),
    out_channels: size.nullable().default(null),
    num_layers: z.int().min(0).default(8),
    num_single_layers: z.int().min(0).default(48),
    attention_head_dim: size.default(128),
    num_attention_heads: size.default(48),
    joint_attention_dim: size.default(15360),
    timestep_guidance_channels: z.int().min(2).multipleOf(2).default(256),
    mlp_ratio: z.number().gt(0).default(3),
    axes_dims_rope: z.array(z.int().min(0).multipleOf(2)).length(axes).default([32, 32, 32, 32]),
    rope_theta: z.number().gt(0).default(2000),
    eps: z.number().gt(0).default(1e-6),
    /** FLUX.2 [dev] has an embedding of guidance, the klein models have none; diffusers' constructor has one. */
    guidance_embeds: z.literal(false),
  })
  .superRefine((json, context) => {
    const refuse = (key: keyof typeof json, message: string) =>
      context.addIssue({ code: 'custom', path: [key], message });
    const turned = json.axes_dims_rope.reduce((sum, channels) => sum + channels, 0);
    if (turned !== json.attention_head_dim) {
      refuse(
        'axes_dims_rope',
        `expected numbers that add up to attention_head_dim, ${json.attention_head_dim}, got ${turned}`,
      );
    }
    // Velocities have the shape of latents.
    if ((json.out_channels ?? json.in_channels) !== json.in_channels) {
      refuse('out_channels', `expected ${json.in_channels}, as many as in_channels`);
    }
    if (json.num_layers + json.num_single_layers === 0) refuse('num_layers', 'expected at least one block in all');
  });

export const toTransformerConfig = (json: z.output<typeof transformerSchema>): Flux2TransformerConfig => ({
  inChannels: json.in_channels,
  layers: json.num_layers,
  singleLayers: json.num_single_layers,
  heads: json.num_attention_heads,
  headDim: json.attention_head_dim,
  jointAttentionDim: json.joint_attention_dim,
  timeChannels: json.timestep_guidance_channels,
  mlpRatio: json.mlp_ratio,
  ropeAxes: json.axes_dims_rope,
  ropeTheta: json.rope_theta,
  normEpsilon: json.eps,
});

/** Width of the tokens. */
export const widthOf = ({ heads, headDim }: Flux2TransformerConfig): number => heads * headDim;

/** Numbers inside the feed-forward layers. */
export const innerOf = (config: Flux2TransformerConfig): number => Math.floor(widthOf(config) * config.mlpRatio);

const levels = 4;

export const autoencoderSchema = z
  .object({
    _class_name: z.literal('AutoencoderKLFlux2'),
    ...halvesShape,
    down_block_types: halvesShape.down_block_types.unwrap().default(Array(levels).fill('DownEncoderBlock2D')),
    up_block_types: halvesShape.up_block_types.unwrap().default(Array(levels).fill('UpDecoderBlock2D')),
    block_out_channels: halvesShape.block_out_channels.unwrap().default([128, 256, 512, 512]),
    decoder_block_out_channels: z.array(size).min(1).nullable().default(null),
    layers_per_block: size.default(2),
    latent_channels: size.default(32),
    batch_norm_eps: z.number().min(0).default(1e-4),
    patch_size: z.tuple([size, size]).default([2, 2]),
  })
  .superRefine((json, context) => {
    checkHalves(json, context);
    const [rows, columns] = json.patch_size;
    if (rows !== columns) {
      context.addIssue({ code: 'custom', path: ['patch_size'], message: 'expected the two sides of a square' });
    }
  });

export const toAutoencoderConfig = (json: z.output<typeof autoencoderSchema>): Flux2AutoencoderConfig => ({
  // Latents are normalised by a batch norm's statistics instead.
  networks: { ...toHalves(json), scalingFactor: 1, shiftFactor: 0 },
  patchSize: json.patch_size[0],
  batchNormEpsilon: json.batch_norm_eps,
});

/** Channels of a latent. */
export const latentChannels = ({ networks, patchSize }: Flux2AutoencoderConfig): number =>
  networks.latentChannels * patchSize ** 2;

/** Pixels a side that one latent stands for. */
export const latentSide = ({ networks, patchSize }: Flux2AutoencoderConfig): number =>
  patchSize * downsampling(networks);

/** The states of the text encoder that the pipeline reads: after so many layers. */
export const readStates: readonly number[] = [9, 18, 27];

const deepestState = Math.max(...readStates);

export const textSchema = z
  .object({
    vocab_size: size.default(151936),
    hidden_size: size.default(4096),
    intermediate_size: size.default(22016),
    /** More than the deepest state that is read: the last one is normalised. */
    num_hidden_layers: z
      .int()
      .min(deepestState + 1)
      .default(32),
    num_attention_heads: size.default(32),
    num_key_value_heads: size.nullable().default(32),
    head_dim: z.int().min(2).multipleOf(2).nullable().default(128),
    hidden_act: z.literal('silu').default('silu'),
    rms_norm_eps: z.number().gt(0).default(1e-6),
    attention_bias: z.literal(false).default(false),
    use_sliding_window: z.literal(false).default(false),
    layer_types: z.array(z.literal('full_attention')).nullish(),
    /** Transformers 4 has it here, and 5 among the parameters. */
    rope_theta: z.number().gt(0).nullish(),
    rope_scaling: z.null().optional(),
    rope_parameters: z
      .object({ rope_theta: z.number().gt(0).optional(), rope_type: z.literal('default').default('default') })
      .nullish(),
  })
  .refine((json) => json.num_attention_heads % (json.num_key_value_heads ?? json.num_attention_heads) === 0, {
    path: ['num_key_value_heads'],
    message: 'expected a divisor of num_attention_heads',
  });

/** What transformers takes where a configuration says nothing. */
const defaultTheta = 10_000;

export const toTextConfig = (json: z.output<typeof textSchema>): Qwen3EncoderConfig => ({
  vocabulary: json.vocab_size,
  width: json.hidden_size,
  intermediate: json.intermediate_size,
  layers: json.num_hidden_layers,
  heads: json.num_attention_heads,
  keyValueHeads: json.num_key_value_heads ?? json.num_attention_heads,
  headDim: json.head_dim ?? Math.floor(json.hidden_size / json.num_attention_heads),
  normEpsilon: json.rms_norm_eps,
  ropeTheta: json.rope_parameters?.rope_theta ?? json.rope_theta ?? defaultTheta,
  states: readStates,
});
