// Directories in the published layout of Stable Diffusion 3, of any sizes, with random weights.
import { cpSync, mkdirSync, openSync, closeSync, readFileSync, writeFileSync, writeSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';

import { autoencoderSchema, clipTextSchema, t5Schema, toAutoencoderConfig, toClipTextConfig, toT5Config, toTransformerConfig, transformerSchema } from '../../lib/models/sd3/config.js';
import { linearLayers, widthOf } from '../../lib/models/sd3/parameters.js';
import type { AutoencoderConfig, ClipTextConfig, Sd3TransformerConfig, T5EncoderConfig } from '../../lib/native/binding.js';
import { buildHeader } from '../../lib/safetensors.js';

export type Shapes = Record<string, number[]>;

/** The config.json of each part; no `t5`: a pipeline without a third text encoder. */
export interface Sd3Sizes {
  transformer: object;
  vae: object;
  clipL: object;
  clipG: object;
  t5?: object;
  scheduler?: object;
}

const fixtures = fileURLToPath(new URL('../fixtures', import.meta.url));

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
      for (const part of ['to_q', 'to_k', 'to_v', 'to_out.0']) layer(`${name}.mid_block.attentions.0.${part}`, deepest, deepest);
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

export function clipShapes(config: ClipTextConfig): Shapes {
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
    for (const part of ['q_proj', 'k_proj', 'v_proj', 'out_proj']) layer(`encoder.layers.${i}.self_attn.${part}`, width, width);
    for (const norm of ['layer_norm1', 'layer_norm2']) layer(`encoder.layers.${i}.${norm}`, width);
    layer(`encoder.layers.${i}.mlp.fc1`, intermediate, width);
    layer(`encoder.layers.${i}.mlp.fc2`, width, intermediate);
  }
  layer('final_layer_norm', width);
  return shapes;
}

export function t5Shapes({ vocabulary, width, keyWidth, heads, intermediate, layers, feedForward, relativeBuckets }: T5EncoderConfig): Shapes {
  const inner = heads * keyWidth;
  const shapes: Shapes = { 'shared.weight': [vocabulary, width], 'encoder.final_layer_norm.weight': [width] };
  for (let i = 0; i < layers; i++) {
    const attention = `encoder.block.${i}.layer.0`, dense = `encoder.block.${i}.layer.1`;
    for (const part of ['q', 'k', 'v']) shapes[`${attention}.SelfAttention.${part}.weight`] = [inner, width];
    shapes[`${attention}.SelfAttention.o.weight`] = [width, inner];
    if (i === 0) shapes[`${attention}.SelfAttention.relative_attention_bias.weight`] = [relativeBuckets, heads];
    for (const part of feedForward === 'gated-gelu' ? ['wi_0', 'wi_1'] : ['wi']) shapes[`${dense}.DenseReluDense.${part}.weight`] = [intermediate, width];
    shapes[`${dense}.DenseReluDense.wo.weight`] = [width, intermediate];
    for (const layer of [attention, dense]) shapes[`${layer}.layer_norm.weight`] = [width];
  }
  return shapes;
}

/** A block of noise, repeated with a shift a tensor: quick to make, whatever the size. */
const noise = Float32Array.from({ length: 1_000_003 }, (_, i) => Math.sin(i * 12.9898 + 78.233) * 43758.5453).map((value) => 2 * (value - Math.floor(value)) - 1);

/** Weights that keep activations' size: norms around 1, matrices scaled by what goes into them. */
export function writeRandomWeights(path: string, shapes: Shapes): void {
  const tensors = Object.entries(shapes).map(([name, shape]) => ({ name, shape, dtype: 'float32' as const }));
  const file = openSync(path, 'w');
  writeSync(file, buildHeader(tensors, { format: 'pt' }));
  let start = 0;
  for (const { name, shape } of tensors) {
    const count = shape.reduce((product, size) => product * size, 1);
    const isNorm = shape.length === 1 && /norm/.test(name) && name.endsWith('.weight');
    const scale = shape.length === 1 ? 0.1 : 1.5 / Math.sqrt(shape.slice(1).reduce((product, size) => product * size, 1));
    for (let done = 0; done < count; ) {
      const part = noise.subarray(start, start + Math.min(count - done, noise.length - start)).map((value) => (isNorm ? 1 : 0) + scale * value);
      writeSync(file, new Uint8Array(part.buffer));
      done += part.length;
      start = (start + part.length) % noise.length;
    }
  }
  closeSync(file);
}

/** CLIP's tokenizer of the reference rewards, cut down, is both encoders'; T5's that of the reference model. */
export function writeRandomSd3(directory: string, sizes: Sd3Sizes): void {
  const clipTokenizer = join(fixtures, 'rewards-tiny/clipscore');
  const vocabulary = Object.keys(JSON.parse(readFileSync(join(clipTokenizer, 'vocab.json'), 'utf8')) as object).length;
  const part = (name: string, config: object, shapes: Shapes, file: string) => {
    mkdirSync(join(directory, name), { recursive: true });
    writeFileSync(join(directory, name, 'config.json'), JSON.stringify(config));
    writeRandomWeights(join(directory, name, file), shapes);
  };
  const transformer = { _class_name: 'SD3Transformer2DModel', ...sizes.transformer };
  const vae = { _class_name: 'AutoencoderKL', ...sizes.vae };
  part('transformer', transformer, transformerShapes(toTransformerConfig(transformerSchema.parse(transformer))), 'diffusion_pytorch_model.safetensors');
  part('vae', vae, autoencoderShapes(toAutoencoderConfig(autoencoderSchema.parse(vae))), 'diffusion_pytorch_model.safetensors');
  for (const [name, tokenizer, own] of [['text_encoder', 'tokenizer', sizes.clipL], ['text_encoder_2', 'tokenizer_2', sizes.clipG]] as const) {
    const config = { vocab_size: vocabulary, eos_token_id: vocabulary - 1, ...own };
    part(name, config, clipShapes(toClipTextConfig(clipTextSchema.parse(config))), 'model.safetensors');
    mkdirSync(join(directory, tokenizer));
    for (const file of ['vocab.json', 'merges.txt', 'special_tokens_map.json', 'tokenizer_config.json']) cpSync(join(clipTokenizer, file), join(directory, tokenizer, file));
  }
  if (sizes.t5) {
    part('text_encoder_3', sizes.t5, t5Shapes(toT5Config(t5Schema.parse(sizes.t5))), 'model.safetensors');
    cpSync(join(fixtures, 'sd35-tiny/tokenizer_3'), join(directory, 'tokenizer_3'), { recursive: true });
  }
  mkdirSync(join(directory, 'scheduler'));
  const scheduler = { _class_name: 'FlowMatchEulerDiscreteScheduler', num_train_timesteps: 1000, shift: 3, ...sizes.scheduler };
  writeFileSync(join(directory, 'scheduler/scheduler_config.json'), JSON.stringify(scheduler));
  const index = JSON.parse(readFileSync(join(fixtures, 'sd35-tiny/model_index.json'), 'utf8')) as Record<string, unknown>;
  if (!sizes.t5) for (const name of ['text_encoder_3', 'tokenizer_3']) index[name] = [null, null];
  writeFileSync(join(directory, 'model_index.json'), JSON.stringify(index));
}
