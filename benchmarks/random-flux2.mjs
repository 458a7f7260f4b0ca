// Directories in the published layout of FLUX.2 [klein], of any sizes, with random weights: what benchmarks measure and
// tests load. `library` has the package's own readers of configurations, writers of headers and networks, which are
// asked for the shapes of their tensors, from dist/ or lib/.

import { cpSync, mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';

import { writeComponent } from './random-weights.mjs';

const fixture = fileURLToPath(new URL('../test/fixtures/flux2-klein-tiny', import.meta.url));

/** Tokens of the reference directory's vocabulary. */
const vocabulary = 368;

/** As deep as the states that are read ask for, and as narrow as may be: it is not what is measured. */
const text = (width) => ({
  hidden_size: width,
  intermediate_size: 8,
  num_hidden_layers: 28,
  num_attention_heads: 1,
  num_key_value_heads: 1,
  head_dim: 8,
});
const levels = (channels) => ({
  block_out_channels: channels,
  down_block_types: channels.map(() => 'DownEncoderBlock2D'),
  up_block_types: channels.map(() => 'UpDecoderBlock2D'),
});

/** FLUX.2-klein-base-4B as published, of half its width and depth, and tiny. */
export const sizes = {
  full: {
    measured: { pixels: 512, batch: 16, textLength: 512 },
    transformer: { num_layers: 5, num_single_layers: 20, num_attention_heads: 24, joint_attention_dim: 7680 },
    vae: levels([128, 256, 512, 512]),
    text: text(2560),
  },
  half: {
    measured: { pixels: 256, batch: 2, textLength: 512 },
    transformer: { num_layers: 3, num_single_layers: 10, num_attention_heads: 12, joint_attention_dim: 3840 },
    vae: levels([64, 128, 256, 256]),
    text: text(1280),
  },
  tiny: {
    measured: { pixels: 64, batch: 2, textLength: 16 },
    transformer: {
      num_layers: 1,
      num_single_layers: 2,
      num_attention_heads: 2,
      attention_head_dim: 16,
      axes_dims_rope: [4, 4, 4, 4],
      joint_attention_dim: 48,
      in_channels: 16,
    },
    vae: { ...levels([8, 16]), latent_channels: 4, layers_per_block: 1, norm_num_groups: 4 },
    text: text(16),
  },
};

/** The tokenizer is that of the reference directory. */
export function writeRandomFlux2(directory, model, library, dtype = 'float32') {
  const shapesOf = (kind, config) => library.binding().networkLayout(kind, config).tensors;
  const part = (name, config, shapes, file) =>
    writeComponent(join(directory, name), { config, shapes, file, dtype }, library);
  const transformer = { _class_name: 'Flux2Transformer2DModel', guidance_embeds: false, ...model.transformer };
  const vae = { _class_name: 'AutoencoderKLFlux2', ...model.vae };
  const encoder = { vocab_size: vocabulary, ...model.text };
  part(
    'transformer',
    transformer,
    shapesOf('flux2', library.toTransformerConfig(library.transformerSchema.parse(transformer))),
    'diffusion_pytorch_model.safetensors',
  );
  part(
    'vae',
    vae,
    shapesOf('flux2-autoencoder', library.toAutoencoderConfig(library.autoencoderSchema.parse(vae))),
    'diffusion_pytorch_model.safetensors',
  );
  part(
    'text_encoder',
    encoder,
    shapesOf('qwen3-encoder', library.toTextConfig(library.textSchema.parse(encoder))),
    'model.safetensors',
  );
  cpSync(join(fixture, 'tokenizer'), join(directory, 'tokenizer'), { recursive: true });
  mkdirSync(join(directory, 'scheduler'));
  const scheduler = {
    _class_name: 'FlowMatchEulerDiscreteScheduler',
    shift: 3,
    use_dynamic_shifting: true,
    ...model.scheduler,
  };
  writeFileSync(join(directory, 'scheduler/scheduler_config.json'), JSON.stringify(scheduler));
  const index = {
    _class_name: 'Flux2KleinPipeline',
    is_distilled: model.distilled ?? false,
    transformer: ['diffusers', 'Flux2Transformer2DModel'],
    vae: ['diffusers', 'AutoencoderKLFlux2'],
    scheduler: ['diffusers', 'FlowMatchEulerDiscreteScheduler'],
    text_encoder: ['transformers', 'Qwen3ForCausalLM'],
    tokenizer: ['transformers', 'Qwen2TokenizerFast'],
  };
  writeFileSync(join(directory, 'model_index.json'), JSON.stringify(index));
}
