// Directories of Stable Diffusion 3 that are refused: other pipelines, parts that do not fit, and incomplete ones.
import { join } from 'node:path';

import { describe, expect, it } from 'vitest';

import { loadModel, modelFootprint } from '../../lib/models/registry.js';
import { readSd3Directory } from '../../lib/models/sd3/directory.js';
import { Sd3Copy, tinySd3 } from '../helpers/sd3.js';
import { refusal } from '../helpers/refusal.js';

describe('a directory of Stable Diffusion 3', () => {
  it.each([
    {
      file: 'model_index.json',
      change: { _class_name: 'FluxPipeline' },
      message: /expected the pipeline StableDiffusion3Pipeline, got FluxPipeline/,
    },
    {
      file: 'model_index.json',
      change: { transformer: ['diffusers', 'FluxTransformer2DModel'] },
      message: /transformer: expected the class SD3Transformer2DModel, got FluxTransformer2DModel/,
    },
    {
      file: 'model_index.json',
      change: { vae: undefined },
      message: /vae: expected \["library", "AutoencoderKL"\], got nothing/,
    },
    {
      file: 'model_index.json',
      change: { text_encoder: [null, null] },
      message: /text_encoder: it is left out; only text_encoder_3 may be/,
    },
    {
      file: 'model_index.json',
      change: { scheduler: ['diffusers', 'DDIMScheduler'] },
      message: /expected the class FlowMatchEulerDiscreteScheduler, got DDIMScheduler/,
    },
    {
      file: 'transformer/config.json',
      change: { qk_norm: 'layer_norm' },
      message: /transformer.config\.json: qk_norm: expected "rms_norm", got "layer_norm"/,
    },
    {
      file: 'transformer/config.json',
      change: { _class_name: 'DiTTransformer2DModel' },
      message: /_class_name: expected "SD3Transformer2DModel", got "DiTTransformer2DModel"/,
    },
    {
      file: 'transformer/config.json',
      change: { num_attention_heads: '4' },
      message: /num_attention_heads: expected a number, got "4"/,
    },
    {
      file: 'transformer/config.json',
      change: { caption_projection_dim: 48 },
      message: /caption_projection_dim: expected 32, the width of the 4 heads of 8/,
    },
    {
      file: 'transformer/config.json',
      change: { dual_attention_layers: [0, 3] },
      message: /dual_attention_layers: expected numbers of the 3 layers, from 0/,
    },
    {
      file: 'transformer/config.json',
      change: { out_channels: 8 },
      message: /out_channels: expected 4, as many as in_channels/,
    },
    {
      file: 'vae/config.json',
      change: { act_fn: 'mish' },
      message: /act_fn: expected one of "silu", "swish", got "mish"/,
    },
    {
      file: 'vae/config.json',
      change: { latents_mean: [0, 0, 0, 0] },
      message: /latents_mean: expected null, got \[0,0,0,0\]/,
    },
    {
      file: 'vae/config.json',
      change: { down_block_types: ['AttnDownEncoderBlock2D', 'DownEncoderBlock2D'] },
      message: /down_block_types\[0\]: expected "DownEncoderBlock2D", got "AttnDownEncoderBlock2D"/,
    },
    {
      file: 'vae/config.json',
      change: { up_block_types: ['UpDecoderBlock2D'] },
      message: /up_block_types: expected 2 of them, as many as block_out_channels/,
    },
    {
      file: 'vae/config.json',
      change: { norm_num_groups: 3 },
      message: /block_out_channels: expected multiples of norm_num_groups, 3/,
    },
    {
      file: 'vae/config.json',
      change: { latent_channels: 16 },
      message:
        /the autoencoder's latent_channels and the transformer's in_channels: expected equal numbers, got 16 and 4/,
    },
    {
      file: 'text_encoder/config.json',
      change: { hidden_act: 'gelu_new' },
      message: /text_encoder.config\.json: hidden_act: expected one of "quick_gelu", "gelu", got "gelu_new"/,
    },
    {
      file: 'text_encoder/config.json',
      change: { hidden_size: 13 },
      message: /num_attention_heads: expected a divisor of hidden_size/,
    },
    {
      file: 'text_encoder_2/config.json',
      change: { projection_dim: 20 },
      message: /projection_dim and the transformer's pooled_projection_dim: expected equal numbers, got 32 and 28/,
    },
    {
      file: 'text_encoder_2/config.json',
      change: { hidden_size: 24 },
      message: /hidden_size, 36 in all, is more than the transformer's joint_attention_dim, 32/,
    },
    {
      file: 'text_encoder_3/config.json',
      change: { feed_forward_proj: 'gated-silu' },
      message: /feed_forward_proj: expected one of "relu", "gated-gelu", got "gated-silu"/,
    },
    {
      file: 'text_encoder_3/config.json',
      change: { d_model: 64 },
      message: /d_model and the transformer's joint_attention_dim: expected equal numbers, got 64 and 32/,
    },
    {
      file: 'scheduler/scheduler_config.json',
      change: { use_dynamic_shifting: true },
      message: /use_dynamic_shifting: expected false, got true/,
    },
    {
      file: 'scheduler/scheduler_config.json',
      change: { use_karras_sigmas: true },
      message: /use_karras_sigmas: expected false, got true/,
    },
    {
      file: 'scheduler/scheduler_config.json',
      change: { shift_terminal: 0.02 },
      message: /shift_terminal: expected null, got 0\.02/,
    },
    {
      file: 'scheduler/scheduler_config.json',
      change: { stochastic_sampling: true },
      message: /stochastic_sampling: expected false, got true/,
    },
  ])('is refused where $file has $change', async ({ file, change, message }) => {
    expect(await refusal(readSd3Directory(new Sd3Copy().set(file, change).path))).toMatch(message);
  });

  it('is refused by the name of the file that is missing', async () => {
    expect(await refusal(loadModel(new Sd3Copy().remove('vae').path))).toMatch(
      /lacks vae\/config\.json, which its model_index\.json names$/,
    );
    expect(await refusal(readSd3Directory(new Sd3Copy().remove('text_encoder_3').path))).toMatch(
      new RegExp(
        String.raw`lacks text_encoder_3/config\.json, .*\. To do without T5, set text_encoder_3 and tokenizer_3 ` +
          String.raw`to \[null, null\] in .*model_index\.json$`,
      ),
    );
  });

  it('is refused where it is one of its own parts, or not there', async () => {
    for (const [part, name] of [
      ['transformer', 'SD3Transformer2DModel'],
      ['text_encoder_3', 'T5EncoderModel'],
    ] as const) {
      expect(await refusal(loadModel(join(tinySd3, part)))).toMatch(
        new RegExp(
          `config\\.json is of ${name}, one part of a model: name the directory around it, which holds ` +
            'model_index\\.json',
        ),
      );
    }
    const options = {
      device: 'cpu',
      dtype: 'float32',
      adapter: { rank: 1, alpha: 1 },
      size: undefined,
      checkpointing: false,
      textLength: undefined,
      prompts: ['0'],
      negativePrompt: undefined,
    } as const;
    expect(await refusal(modelFootprint(join(tinySd3, 'nowhere'), options))).toMatch(
      /no model at ".*nowhere": nothing is there\. /,
    );
    expect(await modelFootprint('digits', options)).toBeUndefined();
  });
});
