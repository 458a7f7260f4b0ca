import { describe, expect, it } from 'vitest';

import { readSd3Directory } from '../../lib/models/sd3/directory.js';
import { latentShapeOf } from '../../lib/models/sd3/model.js';
import { Sd3Copy, tinySd3 } from '../helpers/sd3.js';
import { refusal } from '../helpers/refusal.js';

describe('a directory of Stable Diffusion 3', () => {
  it('gives the sizes and settings of every component', async () => {
    const directory = await readSd3Directory(tinySd3);
    expect(directory.transformer.config).toEqual({
      patchSize: 2,
      inChannels: 4,
      outChannels: 4,
      layers: 3,
      heads: 4,
      headDim: 8,
      jointAttentionDim: 32,
      captionProjectionDim: 32,
      pooledProjectionDim: 28,
      posEmbedMaxSize: 24,
      dualAttentionLayers: [0, 1],
      qkNorm: true,
    });
    expect(directory.autoencoder.config).toEqual({
      inChannels: 3,
      outChannels: 3,
      latentChannels: 4,
      blockOutChannels: [8, 16],
      layersPerBlock: 1,
      normGroups: 4,
      midBlockAttention: true,
      useQuantConv: false,
      usePostQuantConv: false,
      scalingFactor: 1.5305,
      shiftFactor: 0.0609,
    });
    expect(
      directory.clip.map(({ config }) => [config.activation, config.width, config.projection, config.eosToken]),
    ).toEqual([
      ['quick_gelu', 12, 12, 49407],
      ['gelu', 16, 16, 49407],
    ]);
    expect(directory.t5?.config).toMatchObject({
      width: 32,
      layers: 2,
      heads: 4,
      feedForward: 'gated-gelu',
      vocabulary: 160,
    });
    expect(directory).toMatchObject({ scheduler: { trainSteps: 1000, shift: 3 }, imageSize: 32, granularity: 4 });
  });

  it("takes what is left out from diffusers' constructors, such as 3 Medium's dual attention", async () => {
    const copy = new Sd3Copy()
      .set('transformer/config.json', { dual_attention_layers: undefined, qk_norm: undefined, out_channels: null })
      .set('vae/config.json', { shift_factor: null, use_quant_conv: undefined })
      .set('text_encoder/config.json', { eos_token_id: 2 });
    const directory = await readSd3Directory(copy.path);
    expect(directory.transformer.config).toMatchObject({ dualAttentionLayers: [], qkNorm: false, outChannels: 4 });
    expect(directory.autoencoder.config).toMatchObject({ shiftFactor: 0, useQuantConv: true });
    expect(directory.clip[0].config.eosToken).toBeUndefined();
  });

  // Sizes of the published directories; dual: the blocks with a second attention.
  it.each([
    { version: '3 Medium', layers: 24, heads: 24, posEmbedMaxSize: 192, qk_norm: undefined, dual: undefined },
    {
      version: '3.5 Medium',
      layers: 24,
      heads: 24,
      posEmbedMaxSize: 384,
      qk_norm: 'rms_norm',
      dual: Array.from({ length: 13 }, (_, layer) => layer),
    },
    { version: '3.5 Large', layers: 38, heads: 38, posEmbedMaxSize: 192, qk_norm: 'rms_norm', dual: undefined },
  ])(
    'is accepted with the sizes of Stable Diffusion $version',
    async ({ layers, heads, posEmbedMaxSize, qk_norm, dual }) => {
      const four = (block: string) => Array<string>(4).fill(block);
      const clip = (
        hidden_size: number,
        num_hidden_layers: number,
        num_attention_heads: number,
        hidden_act: string,
      ) => ({
        hidden_size,
        intermediate_size: 4 * hidden_size,
        projection_dim: hidden_size,
        num_hidden_layers,
        num_attention_heads,
        hidden_act,
        bos_token_id: 0,
        eos_token_id: 2,
      });
      const copy = new Sd3Copy()
        .set('transformer/config.json', {
          sample_size: 128,
          in_channels: 16,
          out_channels: 16,
          num_layers: layers,
          num_attention_heads: heads,
          attention_head_dim: 64,
          caption_projection_dim: 64 * heads,
          joint_attention_dim: 4096,
          pooled_projection_dim: 2048,
          pos_embed_max_size: posEmbedMaxSize,
          qk_norm,
          dual_attention_layers: dual,
        })
        .set('vae/config.json', {
          latent_channels: 16,
          block_out_channels: [128, 256, 512, 512],
          layers_per_block: 2,
          norm_num_groups: 32,
          down_block_types: four('DownEncoderBlock2D'),
          up_block_types: four('UpDecoderBlock2D'),
        })
        .set('text_encoder/config.json', clip(768, 12, 12, 'quick_gelu'))
        .set('text_encoder_2/config.json', clip(1280, 32, 20, 'gelu'))
        .set('text_encoder_3/config.json', {
          d_model: 4096,
          d_ff: 10240,
          d_kv: 64,
          num_layers: 24,
          num_heads: 64,
          vocab_size: 32128,
        });
      const directory = await readSd3Directory(copy.path);
      expect(directory).toMatchObject({ imageSize: 1024, granularity: 16, t5: { config: { width: 4096 } } });
      expect(directory.transformer.config).toMatchObject({
        layers,
        heads,
        qkNorm: qk_norm !== undefined,
        dualAttentionLayers: dual ?? [],
      });
      expect(directory.clip.map(({ config }) => config.eosToken)).toEqual([undefined, undefined]);
      expect(latentShapeOf(directory, { width: 1440, height: 640 })).toEqual([16, 80, 180]);
    },
  );

  it('is accepted without the T5 encoder, and then without its tokenizer', async () => {
    const copy = new Sd3Copy()
      .set('model_index.json', { text_encoder_3: [null, null], tokenizer_3: [null, null] })
      .remove('text_encoder_3')
      .remove('tokenizer_3');
    expect((await readSd3Directory(copy.path)).t5).toBeUndefined();
    const half = new Sd3Copy().set('model_index.json', { tokenizer_3: [null, null] });
    expect(await refusal(readSd3Directory(half.path))).toMatch(/tokenizer_3 is left out, and text_encoder_3 is not$/);
  });

  it('draws sizes that are whole patches of latents, as far as its positions go', async () => {
    const directory = await readSd3Directory(tinySd3);
    expect(latentShapeOf(directory, { width: 24, height: 16 })).toEqual([4, 8, 12]);
    expect(() => latentShapeOf(directory, { width: 26, height: 16 })).toThrow(
      'image width: expected a multiple of 4 pixels, such as 28, got 26',
    );
    expect(() => latentShapeOf(directory, { width: 24, height: 2 })).toThrow(
      'image height: expected a multiple of 4 pixels, such as 4, got 2',
    );
    expect(() => latentShapeOf(directory, { width: 24, height: 100 })).toThrow(
      /image height: expected at most 96 pixels, for which .* has positions, got 100/,
    );
    const published = new Sd3Copy().set('vae/config.json', {
      block_out_channels: [8, 8, 16, 16],
      down_block_types: Array(4).fill('DownEncoderBlock2D'),
      up_block_types: Array(4).fill('UpDecoderBlock2D'),
    });
    const large = await readSd3Directory(published.path);
    expect(large).toMatchObject({ granularity: 16, imageSize: 128 });
    expect(() => latentShapeOf(large, { width: 1000, height: 1024 })).toThrow(
      'image width: expected a multiple of 16 pixels, such as 1008, got 1000',
    );
  });
});
