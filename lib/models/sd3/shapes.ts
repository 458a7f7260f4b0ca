import type {
  AutoencoderConfig,
  ClipTextConfig,
  Sd3TransformerConfig,
  T5EncoderConfig,
} from '../../runtime/native/binding.js';
import { linearLayers, widthOf } from './layers.js';

// The tensors that each network stores, under their published names, from its configuration alone.

export type Shapes = Record<string, number[]>;

/** How many numbers they are; tables that are not trained are among them. */
export const parametersOf = (shapes: Shapes): number =>
  Object.values(shapes).reduce((sum, shape) => sum + shape.reduce((product, length) => product * length, 1), 0);

export function transformerShapes(config: Sd3TransformerConfig): Shapes {
  const width = widthOf(config);
  const shapes: Shapes = {
    'pos_embed.pos_embed': [1, config.posEmbedMaxSize ** 2, width],
    'pos_embed.proj.weight': [width, config.inChannels, config.patchSize, config.patchSize],
    'pos_embed.proj.bias': [width],
  };
  for (const layer of linearLayers(config)) {
    shapes[`${layer.name}.weight`] = [layer.out, layer.in];
    shapes[`${layer.name}.bias`] = [layer.out];
  }
  for (let layer = 0; config.qkNorm && layer < config.layers; layer++) {
    const names = ['attn.norm_q', 'attn.norm_k', 'attn.norm_added_q', 'attn.norm_added_k'];
    if (config.dualAttentionLayers.includes(layer)) names.push('attn2.norm_q', 'attn2.norm_k');
    for (const name of names) shapes[`transformer_blocks.${layer}.${name}.weight`] = [config.headDim];
  }
  return shapes;
}

export function autoencoderShapes(config: AutoencoderConfig): Shapes {
  const shapes: Shapes = {};
  const layer = (name: string, ...shape: number[]) => {
    shapes[`${name}.weight`] = shape;
    shapes[`${name}.bias`] = [shape[0]!];
  };
  const resnets = (name: string, count: number, from: number, to: number) => {
    for (let i = 0; i < count; i++) {
      const before = i === 0 ? from : to;
      layer(`${name}.resnets.${i}.norm1`, before);
      layer(`${name}.resnets.${i}.conv1`, to, before, 3, 3);
      layer(`${name}.resnets.${i}.norm2`, to);
      layer(`${name}.resnets.${i}.conv2`, to, to, 3, 3);
      if (before !== to) layer(`${name}.resnets.${i}.conv_shortcut`, to, before, 1, 1);
    }
  };
  const half = (name: 'encoder' | 'decoder', inside: number, channels: readonly number[], outside: number) => {
    const [up, more] = name === 'decoder' ? ['up', 1] : ['down', 0];
    const deepest = name === 'decoder' ? channels[0]! : channels.at(-1)!;
    layer(`${name}.conv_in`, channels[0]!, inside, 3, 3);
    for (const [i, width] of channels.entries()) {
      resnets(`${name}.${up}_blocks.${i}`, config.layersPerBlock + Number(more), channels[Math.max(i - 1, 0)]!, width);
      if (i + 1 < channels.length) layer(`${name}.${up}_blocks.${i}.${up}samplers.0.conv`, width, width, 3, 3);
    }
    resnets(`${name}.mid_block`, 2, deepest, deepest);
    if (config.midBlockAttention) {
      layer(`${name}.mid_block.attentions.0.group_norm`, deepest);
      for (const part of ['to_q', 'to_k', 'to_v', 'to_out.0'])
        layer(`${name}.mid_block.attentions.0.${part}`, deepest, deepest);
    }
    layer(`${name}.conv_norm_out`, channels.at(-1)!);
    layer(`${name}.conv_out`, outside, channels.at(-1)!, 3, 3);
  };
  half('encoder', config.inChannels, config.blockOutChannels, 2 * config.latentChannels);
  half('decoder', config.latentChannels, [...config.blockOutChannels].reverse(), config.outChannels);
  const latents = config.latentChannels;
  if (config.useQuantConv) layer('quant_conv', 2 * latents, 2 * latents, 1, 1);
  if (config.usePostQuantConv) layer('post_quant_conv', latents, latents, 1, 1);
  return shapes;
}

export function clipTextShapes(config: ClipTextConfig): Shapes {
  const { width, intermediate } = config;
  const shapes: Shapes = {
    'text_model.embeddings.token_embedding.weight': [config.vocabulary, width],
    'text_model.embeddings.position_embedding.weight': [config.positions, width],
    'text_projection.weight': [config.projection, width],
  };
  const layer = (name: string, ...shape: number[]) => {
    shapes[`text_model.${name}.weight`] = shape;
    shapes[`text_model.${name}.bias`] = [shape[0]!];
  };
  for (let i = 0; i < config.layers; i++) {
    for (const part of ['q_proj', 'k_proj', 'v_proj', 'out_proj'])
      layer(`encoder.layers.${i}.self_attn.${part}`, width, width);
    for (const norm of ['layer_norm1', 'layer_norm2']) layer(`encoder.layers.${i}.${norm}`, width);
    layer(`encoder.layers.${i}.mlp.fc1`, intermediate, width);
    layer(`encoder.layers.${i}.mlp.fc2`, width, intermediate);
  }
  layer('final_layer_norm', width);
  return shapes;
}

export function t5Shapes({
  vocabulary,
  width,
  keyWidth,
  heads,
  intermediate,
  layers,
  feedForward,
  relativeBuckets,
}: T5EncoderConfig): Shapes {
  const inner = heads * keyWidth;
  const shapes: Shapes = { 'shared.weight': [vocabulary, width], 'encoder.final_layer_norm.weight': [width] };
  for (let i = 0; i < layers; i++) {
    const attention = `encoder.block.${i}.layer.0`,
      dense = `encoder.block.${i}.layer.1`;
    for (const part of ['q', 'k', 'v']) shapes[`${attention}.SelfAttention.${part}.weight`] = [inner, width];
    shapes[`${attention}.SelfAttention.o.weight`] = [width, inner];
    if (i === 0) shapes[`${attention}.SelfAttention.relative_attention_bias.weight`] = [relativeBuckets, heads];
    for (const part of feedForward === 'gated-gelu' ? ['wi_0', 'wi_1'] : ['wi'])
      shapes[`${dense}.DenseReluDense.${part}.weight`] = [intermediate, width];
    shapes[`${dense}.DenseReluDense.wo.weight`] = [width, intermediate];
    for (const layer of [attention, dense]) shapes[`${layer}.layer_norm.weight`] = [width];
  }
  return shapes;
}
