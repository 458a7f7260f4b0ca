import { z } from 'zod';

import type { ClipTextConfig, Sd3TransformerConfig, T5EncoderConfig } from '../../runtime/native/binding.js';

// The config.json of each component, as diffusers and transformers write it. Defaults are those of their constructors;
// what a constructor knows and the native networks do not is refused by name; other keys say nothing of the network.

const size = z.int().min(1);

export const transformerSchema = z
  .object({
    _class_name: z.literal('SD3Transformer2DModel'),
    sample_size: size.default(128),
    patch_size: size.default(2),
    in_channels: size.default(16),
    out_channels: size.nullable().default(16),
    num_layers: size.default(18),
    attention_head_dim: size.default(64),
    num_attention_heads: size.default(18),
    joint_attention_dim: size.default(4096),
    caption_projection_dim: size.default(1152),
    pooled_projection_dim: size.default(2048),
    pos_embed_max_size: size.default(96),
    dual_attention_layers: z.array(z.int().min(0)).default([]),
    qk_norm: z.literal('rms_norm').nullable().default(null),
  })
  .superRefine((json, context) => {
    const refuse = (key: keyof typeof json, message: string) =>
      context.addIssue({ code: 'custom', path: [key], message });
    const width = json.num_attention_heads * json.attention_head_dim;
    if (json.caption_projection_dim !== width) {
      refuse(
        'caption_projection_dim',
        `expected ${width}, the width of the ${json.num_attention_heads} heads of ${json.attention_head_dim}: ` +
          'text and image attend to each other',
      );
    }
    if (json.dual_attention_layers.some((layer) => layer >= json.num_layers)) {
      refuse('dual_attention_layers', `expected numbers of the ${json.num_layers} layers, from 0`);
    }
    // Velocities have the shape of latents.
    if ((json.out_channels ?? json.in_channels) !== json.in_channels) {
      refuse('out_channels', `expected ${json.in_channels}, as many as in_channels`);
    }
  });

export function toTransformerConfig(json: z.output<typeof transformerSchema>): Sd3TransformerConfig {
  return {
    patchSize: json.patch_size,
    inChannels: json.in_channels,
    outChannels: json.out_channels ?? json.in_channels,
    layers: json.num_layers,
    heads: json.num_attention_heads,
    headDim: json.attention_head_dim,
    jointAttentionDim: json.joint_attention_dim,
    captionProjectionDim: json.caption_projection_dim,
    pooledProjectionDim: json.pooled_projection_dim,
    posEmbedMaxSize: json.pos_embed_max_size,
    dualAttentionLayers: json.dual_attention_layers,
    qkNorm: json.qk_norm === 'rms_norm',
  };
}

/** Width of the tokens. */
export const widthOf = ({ heads, headDim }: Sd3TransformerConfig): number => heads * headDim;

/** Whether the layer of this number attends over the image alone, too. */
export const isDual = ({ dualAttentionLayers }: Sd3TransformerConfig, layer: number): boolean =>
  dualAttentionLayers.includes(layer);

/** transformers' mark, from before it read the end token's number: pool where the largest number stands. */
const legacyEosToken = 2;

export const clipTextSchema = z
  .object({
    vocab_size: size.default(49408),
    hidden_size: size.default(512),
    intermediate_size: size.default(2048),
    projection_dim: size.default(512),
    num_hidden_layers: z.int().min(2).default(12),
    num_attention_heads: size.default(8),
    max_position_embeddings: size.default(77),
    hidden_act: z.enum(['quick_gelu', 'gelu']).default('quick_gelu'),
    layer_norm_eps: z.number().gt(0).default(1e-5),
    eos_token_id: z.int().min(0).default(49407),
  })
  .refine((json) => json.hidden_size % json.num_attention_heads === 0, {
    path: ['num_attention_heads'],
    message: 'expected a divisor of hidden_size',
  });

export function toClipTextConfig(json: z.output<typeof clipTextSchema>): ClipTextConfig {
  return {
    width: json.hidden_size,
    intermediate: json.intermediate_size,
    layers: json.num_hidden_layers,
    heads: json.num_attention_heads,
    activation: json.hidden_act,
    layerNormEpsilon: json.layer_norm_eps,
    projection: json.projection_dim,
    vocabulary: json.vocab_size,
    positions: json.max_position_embeddings,
    eosToken: json.eos_token_id === legacyEosToken ? undefined : json.eos_token_id,
  };
}

export const t5Schema = z.object({
  vocab_size: size.default(32128),
  d_model: size.default(512),
  d_kv: size.default(64),
  d_ff: size.default(2048),
  num_layers: size.default(6),
  num_heads: size.default(8),
  relative_attention_num_buckets: size.default(32),
  relative_attention_max_distance: size.default(128),
  layer_norm_epsilon: z.number().gt(0).default(1e-6),
  feed_forward_proj: z.enum(['relu', 'gated-gelu']).default('relu'),
});

export function toT5Config(json: z.output<typeof t5Schema>): T5EncoderConfig {
  return {
    vocabulary: json.vocab_size,
    width: json.d_model,
    keyWidth: json.d_kv,
    intermediate: json.d_ff,
    layers: json.num_layers,
    heads: json.num_heads,
    relativeBuckets: json.relative_attention_num_buckets,
    relativeMaxDistance: json.relative_attention_max_distance,
    layerNormEpsilon: json.layer_norm_epsilon,
    feedForward: json.feed_forward_proj,
  };
}
