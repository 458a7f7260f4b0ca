import { mkdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';

import { describe, expect, it } from 'vitest';

import { EamError } from '../../lib/errors.js';
import { modelFootprint } from '../../lib/models/footprints.js';
import { loadModel } from '../../lib/models/registry.js';
import { readSd3Directory } from '../../lib/models/sd3/directory.js';
import { latentShapeOf } from '../../lib/models/sd3/model.js';
import { schedulerSigmas, schedulerTimes, schedulerTimesteps } from '../../lib/models/sd3/scheduler.js';
import { loadWeights, locateWeights } from '../../lib/models/sd3/weights.js';
import { disposeAll, readTensors, saveTensors } from '../../lib/files/safetensors.js';
import { Sd3Copy, tinySd3 } from '../helpers/sd3.js';

const refusal = async (promise: Promise<unknown>): Promise<string> => {
  const error = await promise.then(
    () => undefined,
    (thrown: unknown) => thrown,
  );
  expect(error).toBeInstanceOf(EamError);
  return (error as Error).message;
};

describe('a directory of Stable Diffusion 3', () => {
  it('is read, sizes and settings of every component', async () => {
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

  it("takes what is left out from diffusers' constructors: Stable Diffusion 3 Medium says nothing of dual attention", async () => {
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
    ['3 Medium', { layers: 24, heads: 24, posEmbedMaxSize: 192, qk_norm: undefined, dual: undefined }],
    [
      '3.5 Medium',
      {
        layers: 24,
        heads: 24,
        posEmbedMaxSize: 384,
        qk_norm: 'rms_norm',
        dual: Array.from({ length: 13 }, (_, layer) => layer),
      },
    ],
    ['3.5 Large', { layers: 38, heads: 38, posEmbedMaxSize: 192, qk_norm: 'rms_norm', dual: undefined }],
  ])('may have the sizes of Stable Diffusion %s', async (_, { layers, heads, posEmbedMaxSize, qk_norm, dual }) => {
    const four = (block: string) => Array<string>(4).fill(block);
    const clip = (hidden_size: number, num_hidden_layers: number, num_attention_heads: number, hidden_act: string) => ({
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
  });

  it('may lack the T5 encoder, and then its tokenizer', async () => {
    const copy = new Sd3Copy()
      .set('model_index.json', { text_encoder_3: [null, null], tokenizer_3: [null, null] })
      .remove('text_encoder_3')
      .remove('tokenizer_3');
    expect((await readSd3Directory(copy.path)).t5).toBeUndefined();
    const half = new Sd3Copy().set('model_index.json', { tokenizer_3: [null, null] });
    expect(await refusal(readSd3Directory(half.path))).toMatch(/tokenizer_3 is left out, and text_encoder_3 is not$/);
  });

  it.each([
    [
      'model_index.json',
      { _class_name: 'FluxPipeline' },
      /the pipeline FluxPipeline is not supported; supported: StableDiffusion3Pipeline/,
    ],
    [
      'model_index.json',
      { transformer: ['diffusers', 'FluxTransformer2DModel'] },
      /transformer: the class FluxTransformer2DModel is not supported; supported: SD3Transformer2DModel/,
    ],
    ['model_index.json', { vae: undefined }, /vae: expected \["library", "AutoencoderKL"\], got nothing/],
    ['model_index.json', { text_encoder: [null, null] }, /text_encoder: it is left out; only text_encoder_3 may be/],
    [
      'model_index.json',
      { scheduler: ['diffusers', 'DDIMScheduler'] },
      /DDIMScheduler is not supported; supported: FlowMatchEulerDiscreteScheduler/,
    ],
    [
      'transformer/config.json',
      { qk_norm: 'layer_norm' },
      /transformer.config\.json: qk_norm: expected "rms_norm", got "layer_norm"/,
    ],
    [
      'transformer/config.json',
      { _class_name: 'DiTTransformer2DModel' },
      /_class_name: expected "SD3Transformer2DModel", got "DiTTransformer2DModel"/,
    ],
    ['transformer/config.json', { num_attention_heads: '4' }, /num_attention_heads: expected a number, got "4"/],
    [
      'transformer/config.json',
      { caption_projection_dim: 48 },
      /caption_projection_dim: expected 32, the width of the 4 heads of 8/,
    ],
    [
      'transformer/config.json',
      { dual_attention_layers: [0, 3] },
      /dual_attention_layers: expected numbers of the 3 layers, from 0/,
    ],
    ['transformer/config.json', { out_channels: 8 }, /out_channels: expected 4, as many as in_channels/],
    ['vae/config.json', { act_fn: 'mish' }, /act_fn: expected one of "silu", "swish", got "mish"/],
    ['vae/config.json', { latents_mean: [0, 0, 0, 0] }, /latents_mean: expected null, got \[0,0,0,0\]/],
    [
      'vae/config.json',
      { down_block_types: ['AttnDownEncoderBlock2D', 'DownEncoderBlock2D'] },
      /down_block_types\[0\]: expected "DownEncoderBlock2D", got "AttnDownEncoderBlock2D"/,
    ],
    [
      'vae/config.json',
      { up_block_types: ['UpDecoderBlock2D'] },
      /up_block_types: expected 2 of them, as many as block_out_channels/,
    ],
    ['vae/config.json', { norm_num_groups: 3 }, /block_out_channels: expected multiples of norm_num_groups, 3/],
    [
      'vae/config.json',
      { latent_channels: 16 },
      /the autoencoder's latent_channels and the transformer's in_channels should be equal, 16 and 4 were found/,
    ],
    [
      'text_encoder/config.json',
      { hidden_act: 'gelu_new' },
      /text_encoder.config\.json: hidden_act: expected one of "quick_gelu", "gelu", got "gelu_new"/,
    ],
    ['text_encoder/config.json', { hidden_size: 13 }, /num_attention_heads: expected a divisor of hidden_size/],
    [
      'text_encoder_2/config.json',
      { projection_dim: 20 },
      /projection_dim and the transformer's pooled_projection_dim should be equal, 32 and 28 were found/,
    ],
    [
      'text_encoder_2/config.json',
      { hidden_size: 24 },
      /hidden_size, 36 in all, is more than the transformer's joint_attention_dim, 32/,
    ],
    [
      'text_encoder_3/config.json',
      { feed_forward_proj: 'gated-silu' },
      /feed_forward_proj: expected one of "relu", "gated-gelu", got "gated-silu"/,
    ],
    [
      'text_encoder_3/config.json',
      { d_model: 64 },
      /d_model and the transformer's joint_attention_dim should be equal, 64 and 32/,
    ],
    [
      'scheduler/scheduler_config.json',
      { use_dynamic_shifting: true },
      /use_dynamic_shifting: expected false, got true/,
    ],
    ['scheduler/scheduler_config.json', { use_karras_sigmas: true }, /use_karras_sigmas: expected false, got true/],
    ['scheduler/scheduler_config.json', { shift_terminal: 0.02 }, /shift_terminal: expected null, got 0\.02/],
    ['scheduler/scheduler_config.json', { stochastic_sampling: true }, /stochastic_sampling: expected false, got true/],
  ])('with %s %j is refused', async (file, change, message) => {
    expect(await refusal(readSd3Directory(new Sd3Copy().set(file, change).path))).toMatch(message);
  });

  it('without a component is refused by the file that is missing', async () => {
    expect(await refusal(loadModel(new Sd3Copy().remove('vae').path))).toMatch(
      /cannot read .*vae.config\.json: ENOENT.*'$/,
    );
    expect(await refusal(readSd3Directory(new Sd3Copy().remove('text_encoder_3').path))).toMatch(
      /text_encoder_3.config\.json: ENOENT.* To do without T5, set text_encoder_3 and tokenizer_3 to \[null, null\] in .*model_index\.json$/,
    );
  });

  it('is not one of its own parts, nor one that is not there', async () => {
    for (const [part, name] of [
      ['transformer', 'SD3Transformer2DModel'],
      ['text_encoder_3', 'T5EncoderModel'],
    ] as const) {
      expect(await refusal(loadModel(join(tinySd3, part)))).toMatch(
        new RegExp(
          `config\\.json is of ${name}, one part of a model: name the directory around it, which holds model_index\\.json`,
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
      /no model at ".*nowhere": cannot read /,
    );
    expect(await modelFootprint('digits', options)).toBeUndefined();
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
      /image height: .* has positions for 96 pixels at most, got 100/,
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

describe("the scheduler's levels", () => {
  it.each([4, 10, 28])("are diffusers', to the bit, for %i steps", async (steps) => {
    const goldens = await readTensors(join(tinySd3, 'goldens.safetensors'));
    const { scheduler } = await readSd3Directory(tinySd3);
    const sigmas = schedulerSigmas(scheduler, steps);
    expect(sigmas).toEqual(goldens[`scheduler.sigmas.${steps}`]!.dataSync());
    expect(schedulerTimesteps(scheduler, sigmas.subarray(0, steps))).toEqual(
      goldens[`scheduler.timesteps.${steps}`]!.dataSync(),
    );
    disposeAll(goldens);
  });

  it('become times that rise from 0 to 1', () => {
    const times = schedulerTimes({ trainSteps: 1000, shift: 3 }, 28);
    expect(times).toHaveLength(29);
    expect([times[0], times.at(-1)]).toEqual([0, 1]);
    expect(times.every((time, step) => step === 0 || time > times[step - 1]!)).toBe(true);
    expect(schedulerTimes({ trainSteps: 1000, shift: 3 }, 1)).toEqual([0, 1]);
  });

  it('are even without a shift, but for the last', () => {
    const times = schedulerTimes({ trainSteps: 1000, shift: 1 }, 3);
    expect(times.map((time) => Number(time.toFixed(4)))).toEqual([0, 0.4995, 0.999, 1]);
  });
});

describe('weights', () => {
  const shardNames = ['model-00001-of-00002.safetensors', 'model-00002-of-00002.safetensors'];

  /** The third text encoder in two shards. */
  const sharded = async (overlap = false): Promise<Sd3Copy> => {
    const copy = new Sd3Copy();
    const tensors = await readTensors(copy.file('text_encoder_3/model.safetensors'));
    const names = Object.keys(tensors);
    const half = Math.floor(names.length / 2);
    const parts = [names.slice(0, half), names.slice(overlap ? half - 1 : half)];
    const weightMap: Record<string, string> = {};
    for (const [index, part] of parts.entries()) {
      await saveTensors(
        copy.file(`text_encoder_3/${shardNames[index]!}`),
        Object.fromEntries(part.map((name) => [name, tensors[name]!])),
      );
      for (const name of part) weightMap[name] = shardNames[index]!;
    }
    disposeAll(tensors);
    return copy
      .remove('text_encoder_3/model.safetensors')
      .write('text_encoder_3/model.safetensors.index.json', JSON.stringify({ metadata: {}, weight_map: weightMap }));
  };

  it('of one file or of shards are the same', async () => {
    const copy = await sharded();
    expect(await locateWeights(copy.file('text_encoder_3'))).toEqual(
      shardNames.map((name) => copy.file(`text_encoder_3/${name}`)),
    );
    const [one, parts] = [
      await loadWeights(join(tinySd3, 'text_encoder_3')),
      await loadWeights(copy.file('text_encoder_3')),
    ];
    expect(Object.keys(parts).sort()).toEqual(Object.keys(one).sort());
    for (const [name, tensor] of Object.entries(one)) expect(parts[name]!.dataSync()).toEqual(tensor.dataSync());
    disposeAll(one);
    disposeAll(parts);
  });

  it('name the shard that is missing', async () => {
    const copy = (await sharded()).remove(`text_encoder_3/${shardNames[1]!}`);
    expect(await refusal(loadWeights(copy.file('text_encoder_3')))).toMatch(
      /text_encoder_3 lacks 1 of the 2 shards that model\.safetensors\.index\.json names: model-00002-of-00002\.safetensors; download it again/,
    );
  });

  it('name a tensor that two shards hold', async () => {
    const copy = await sharded(true);
    expect(await refusal(loadWeights(copy.file('text_encoder_3')))).toMatch(
      /^tensor ".*" is in both .*00001-of-00002\.safetensors and .*00002-of-00002/,
    );
  });

  it('of several variants are the plain ones, else the only one', async () => {
    const file = readFileSync(join(tinySd3, 'text_encoder_3/model.safetensors'));
    const copy = new Sd3Copy().write('text_encoder_3/model.fp16.safetensors', file);
    const folder = copy.file('text_encoder_3');
    expect(await locateWeights(folder)).toEqual([join(folder, 'model.safetensors')]);
    copy.remove('text_encoder_3/model.safetensors');
    expect(await locateWeights(folder)).toEqual([join(folder, 'model.fp16.safetensors')]);
    copy.write('text_encoder_3/model.bf16.safetensors', file);
    expect(await refusal(locateWeights(folder))).toMatch(
      /holds model\.bf16\.safetensors and model\.fp16\.safetensors: expected one of them, remove the other$/,
    );
  });

  it("of a variant may be shards with an index, as the published directories' T5 is", async () => {
    const copy = await sharded();
    const folder = copy.file('text_encoder_3');
    const shards = shardNames.map((name) => name.replace('model-', 'model.fp16-'));
    const map = JSON.parse(readFileSync(join(folder, 'model.safetensors.index.json'), 'utf8')) as {
      weight_map: Record<string, string>;
    };
    for (const [index, name] of shards.entries())
      copy.write(`text_encoder_3/${name}`, readFileSync(join(folder, shardNames[index]!)));
    const renamed = Object.fromEntries(
      Object.entries(map.weight_map).map(([name, shard]) => [name, shard.replace('model-', 'model.fp16-')]),
    );
    copy.write('text_encoder_3/model.safetensors.index.fp16.json', JSON.stringify({ weight_map: renamed }));
    expect(await locateWeights(folder)).toEqual(shardNames.map((name) => join(folder, name)));
    copy.remove('text_encoder_3/model.safetensors.index.json');
    expect(await locateWeights(folder)).toEqual(shards.map((name) => join(folder, name)));
  });

  it.each([
    [
      'none',
      (copy: Sd3Copy) => copy.remove('vae/diffusion_pytorch_model.safetensors'),
      /vae holds no weights: expected diffusion_pytorch_model\.safetensors or model\.safetensors/,
    ],
    [
      'only .bin',
      (copy: Sd3Copy) =>
        copy.remove('vae/diffusion_pytorch_model.safetensors').write('vae/diffusion_pytorch_model.bin', 'x'),
      /\.bin files are not read: convert them/,
    ],
    [
      'an index of nothing',
      (copy: Sd3Copy) =>
        copy
          .remove('vae/diffusion_pytorch_model.safetensors')
          .write('vae/diffusion_pytorch_model.safetensors.index.json', '{"weight_map": {}}'),
      /names no tensors/,
    ],
    [
      'an index that is none',
      (copy: Sd3Copy) =>
        copy
          .remove('vae/diffusion_pytorch_model.safetensors')
          .write('vae/diffusion_pytorch_model.safetensors.index.json', '{"weights": 1}'),
      /index\.json: weight_map: expected a record, but it is missing/,
    ],
    [
      'shards elsewhere',
      (copy: Sd3Copy) =>
        copy
          .remove('vae/diffusion_pytorch_model.safetensors')
          .write('vae/diffusion_pytorch_model.safetensors.index.json', '{"weight_map": {"a": "../x.safetensors"}}'),
      /names the shard "\.\.\/x\.safetensors", which is not in its own directory/,
    ],
    [
      'half a file',
      (copy: Sd3Copy) =>
        copy.write(
          'vae/diffusion_pytorch_model.safetensors',
          readFileSync(join(tinySd3, 'vae/diffusion_pytorch_model.safetensors')).subarray(0, 90_000),
        ),
      /diffusion_pytorch_model\.safetensors is not a valid safetensors file: .*cut short or damaged/,
    ],
  ])('are refused: %s', async (_, change, message) => {
    expect(await refusal(loadWeights(change(new Sd3Copy()).file('vae')))).toMatch(message);
  });

  it('of no directory are refused', async () => {
    const copy = new Sd3Copy();
    mkdirSync(copy.file('empty'));
    expect(await refusal(loadWeights(copy.file('empty')))).toMatch(/empty holds no weights/);
    expect(await refusal(loadWeights(copy.file('nowhere')))).toMatch(/cannot read .*nowhere: ENOENT/);
  });
});
