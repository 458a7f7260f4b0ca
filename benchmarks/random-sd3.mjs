// Directories in the published layout of Stable Diffusion 3, of any sizes, with random weights: what benchmarks measure
// and tests load. `library` has the package's own readers of configurations, writers of headers and networks, which are
// asked for the shapes of their tensors, from dist/ or lib/.

import { cpSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';

import { writeComponent } from './random-weights.mjs';

const fixtures = fileURLToPath(new URL('../test/fixtures', import.meta.url));

const vae = {
  in_channels: 3,
  out_channels: 3,
  latent_channels: 16,
  layers_per_block: 2,
  norm_num_groups: 32,
  scaling_factor: 1.5305,
  shift_factor: 0.0609,
  use_quant_conv: false,
  use_post_quant_conv: false,
  down_block_types: Array(4).fill('DownEncoderBlock2D'),
  up_block_types: Array(4).fill('UpDecoderBlock2D'),
};
const transformer = { patch_size: 2, in_channels: 16, out_channels: 16, attention_head_dim: 64, qk_norm: 'rms_norm' };
const upTo = (count) => Array.from({ length: count }, (_, index) => index);

/**
 * Stable Diffusion 3.5 Medium as published, of half its width and depth, and tiny. Of the text encoders the width
 * alone: they have two layers, as few as there may be, and T5 is left out.
 */
export const sizes = {
  full: {
    measured: { pixels: 512, batch: 16, textLength: 256 },
    transformer: {
      ...transformer,
      sample_size: 128,
      num_layers: 24,
      num_attention_heads: 24,
      joint_attention_dim: 4096,
      caption_projection_dim: 1536,
      pooled_projection_dim: 2048,
      pos_embed_max_size: 384,
      dual_attention_layers: upTo(13),
    },
    vae: { ...vae, block_out_channels: [128, 256, 512, 512] },
    clipL: {
      hidden_size: 768,
      intermediate_size: 3072,
      projection_dim: 768,
      num_hidden_layers: 2,
      num_attention_heads: 12,
    },
    clipG: {
      hidden_size: 1280,
      intermediate_size: 5120,
      projection_dim: 1280,
      num_hidden_layers: 2,
      num_attention_heads: 20,
      hidden_act: 'gelu',
    },
  },
  half: {
    measured: { pixels: 256, batch: 2, textLength: 256 },
    transformer: {
      ...transformer,
      sample_size: 32,
      num_layers: 12,
      num_attention_heads: 12,
      joint_attention_dim: 2048,
      caption_projection_dim: 768,
      pooled_projection_dim: 1024,
      pos_embed_max_size: 96,
      dual_attention_layers: upTo(6),
    },
    vae: { ...vae, block_out_channels: [64, 128, 256, 256] },
    clipL: {
      hidden_size: 384,
      intermediate_size: 1536,
      projection_dim: 384,
      num_hidden_layers: 2,
      num_attention_heads: 6,
    },
    clipG: {
      hidden_size: 640,
      intermediate_size: 2560,
      projection_dim: 640,
      num_hidden_layers: 2,
      num_attention_heads: 10,
      hidden_act: 'gelu',
    },
  },
  tiny: {
    measured: { pixels: 64, batch: 2, textLength: 16 },
    transformer: {
      ...transformer,
      sample_size: 8,
      num_layers: 3,
      num_attention_heads: 2,
      joint_attention_dim: 256,
      caption_projection_dim: 128,
      pooled_projection_dim: 128,
      pos_embed_max_size: 24,
      dual_attention_layers: upTo(2),
    },
    vae: { ...vae, block_out_channels: [32, 32, 64, 64], layers_per_block: 1 },
    clipL: {
      hidden_size: 64,
      intermediate_size: 128,
      projection_dim: 64,
      num_hidden_layers: 2,
      num_attention_heads: 2,
    },
    clipG: {
      hidden_size: 64,
      intermediate_size: 128,
      projection_dim: 64,
      num_hidden_layers: 2,
      num_attention_heads: 2,
      hidden_act: 'gelu',
    },
  },
};

/** CLIP's tokenizer of the reference rewards, cut down, is both encoders'; T5's that of the reference model. */
export function writeRandomSd3(directory, model, library, dtype = 'float32') {
  const clipTokenizer = join(fixtures, 'rewards-tiny/clipscore');
  const vocabulary = Object.keys(JSON.parse(readFileSync(join(clipTokenizer, 'vocab.json'), 'utf8'))).length;
  const shapesOf = (kind, config) => library.binding().networkLayout(kind, config).tensors;
  const part = (name, config, shapes, file) =>
    writeComponent(join(directory, name), { config, shapes, file, dtype }, library);
  const transformerConfig = { _class_name: 'SD3Transformer2DModel', ...model.transformer };
  const vaeConfig = { _class_name: 'AutoencoderKL', ...model.vae };
  part(
    'transformer',
    transformerConfig,
    shapesOf('sd3', library.toTransformerConfig(library.transformerSchema.parse(transformerConfig))),
    'diffusion_pytorch_model.safetensors',
  );
  part(
    'vae',
    vaeConfig,
    shapesOf('autoencoder-kl', library.toAutoencoderConfig(library.autoencoderSchema.parse(vaeConfig))),
    'diffusion_pytorch_model.safetensors',
  );
  for (const [name, tokenizer, own] of [
    ['text_encoder', 'tokenizer', model.clipL],
    ['text_encoder_2', 'tokenizer_2', model.clipG],
  ]) {
    const config = { vocab_size: vocabulary, eos_token_id: vocabulary - 1, ...own };
    part(
      name,
      config,
      shapesOf('clip-text', library.toClipTextConfig(library.clipTextSchema.parse(config))),
      'model.safetensors',
    );
    mkdirSync(join(directory, tokenizer));
    for (const file of ['vocab.json', 'merges.txt', 'special_tokens_map.json', 'tokenizer_config.json'])
      cpSync(join(clipTokenizer, file), join(directory, tokenizer, file));
  }
  if (model.t5) {
    part(
      'text_encoder_3',
      model.t5,
      shapesOf('t5-encoder', library.toT5Config(library.t5Schema.parse(model.t5))),
      'model.safetensors',
    );
    cpSync(join(fixtures, 'sd35-tiny/tokenizer_3'), join(directory, 'tokenizer_3'), { recursive: true });
  }
  mkdirSync(join(directory, 'scheduler'));
  const scheduler = {
    _class_name: 'FlowMatchEulerDiscreteScheduler',
    num_train_timesteps: 1000,
    shift: 3,
    ...model.scheduler,
  };
  writeFileSync(join(directory, 'scheduler/scheduler_config.json'), JSON.stringify(scheduler));
  const index = JSON.parse(readFileSync(join(fixtures, 'sd35-tiny/model_index.json'), 'utf8'));
  if (!model.t5) for (const name of ['text_encoder_3', 'tokenizer_3']) index[name] = [null, null];
  writeFileSync(join(directory, 'model_index.json'), JSON.stringify(index));
}
