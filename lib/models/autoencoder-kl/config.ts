import { z } from 'zod';

import type { AutoencoderKlConfig } from '../../runtime/native/binding.js';

const size = z.int().min(1);

/** What every autoencoder of this kind says of its two halves; defaults are those of diffusers' AutoencoderKL. */
export const halvesShape = {
  in_channels: z.literal(3).default(3),
  out_channels: z.literal(3).default(3),
  down_block_types: z.array(z.literal('DownEncoderBlock2D')).default(['DownEncoderBlock2D']),
  up_block_types: z.array(z.literal('UpDecoderBlock2D')).default(['UpDecoderBlock2D']),
  block_out_channels: z.array(size).min(1).default([64]),
  layers_per_block: size.default(1),
  act_fn: z.enum(['silu', 'swish']).default('silu'),
  latent_channels: size.default(4),
  norm_num_groups: size.default(32),
  use_quant_conv: z.boolean().default(true),
  use_post_quant_conv: z.boolean().default(true),
  mid_block_add_attention: z.boolean().default(true),
};

type Halves = z.output<z.ZodObject<typeof halvesShape>> & { decoder_block_out_channels?: readonly number[] | null };

/** Refuses, as a zod refinement, halves whose numbers of blocks and channels do not go together. */
export function checkHalves(json: Halves, context: z.core.$RefinementCtx): void {
  const refuse = (key: keyof Halves, message: string) => context.addIssue({ code: 'custom', path: [key], message });
  const blocks = json.block_out_channels.length;
  for (const key of ['down_block_types', 'up_block_types', 'decoder_block_out_channels'] as const) {
    if ((json[key]?.length ?? blocks) !== blocks)
      refuse(key, `expected ${blocks} of them, as many as block_out_channels`);
  }
  for (const key of ['block_out_channels', 'decoder_block_out_channels'] as const) {
    if (json[key]?.some((channels) => channels % json.norm_num_groups))
      refuse(key, `expected multiples of norm_num_groups, ${json.norm_num_groups}`);
  }
}

/** The native configuration of the two halves. */
export function toHalves(json: Halves): Omit<AutoencoderKlConfig, 'scalingFactor' | 'shiftFactor'> {
  return {
    inChannels: json.in_channels,
    outChannels: json.out_channels,
    latentChannels: json.latent_channels,
    blockOutChannels: json.block_out_channels,
    decoderBlockOutChannels: json.decoder_block_out_channels ?? undefined,
    layersPerBlock: json.layers_per_block,
    normGroups: json.norm_num_groups,
    midBlockAttention: json.mid_block_add_attention,
    useQuantConv: json.use_quant_conv,
    usePostQuantConv: json.use_post_quant_conv,
  };
}

export const autoencoderSchema = z
  .object({
    _class_name: z.literal('AutoencoderKL'),
    ...halvesShape,
    scaling_factor: z.number().gt(0).default(0.18215),
    shift_factor: z.number().nullable().default(null),
    latents_mean: z.null().optional(),
    latents_std: z.null().optional(),
  })
  .superRefine(checkHalves);

export function toAutoencoderConfig(json: z.output<typeof autoencoderSchema>): AutoencoderKlConfig {
  return { ...toHalves(json), scalingFactor: json.scaling_factor, shiftFactor: json.shift_factor ?? 0 };
}

/** Pixels a side that one latent stands for: each block but the last halves the image. */
export const downsampling = ({ blockOutChannels }: AutoencoderKlConfig): number => 2 ** (blockOutChannels.length - 1);

/** Channels of the decoder's levels, the coarsest first. */
export const decoderChannels = ({ blockOutChannels, decoderBlockOutChannels }: AutoencoderKlConfig): number[] =>
  [...(decoderBlockOutChannels ?? blockOutChannels)].reverse();
