import { mkdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';

import { describe, expect, it } from 'vitest';

import { EamError } from '../../lib/errors.js';
import { openWeights } from '../../lib/files/weights.js';
import { locateWeights } from '../../lib/models/component-weights.js';
import { loadModel, modelFootprint } from '../../lib/models/registry.js';
import { readSd3Directory } from '../../lib/models/sd3/directory.js';
import { latentShapeOf } from '../../lib/models/sd3/model.js';
import { schedulerSigmas, schedulerTimes, schedulerTimesteps } from '../../lib/models/sd3/scheduler.js';
import type { NativeWeightFiles } from '../../lib/runtime/native/binding.js';
import { binding } from '../../lib/runtime/native/index.js';
import { disposeAll, readTensors, saveTensors } from '../../lib/files/safetensors.js';
import { Sd3Copy, tinySd3 } from '../helpers/sd3.js';

const openComponent = async (directory: string): Promise<NativeWeightFiles> =>
  openWeights((await locateWeights(directory)).map((path) => ({ path })));

const refusal = async (promise: Promise<unknown>): Promise<string> => {
  const error = await promise.then(
    () => undefined,
    (thrown: unknown) => thrown,
  );
  expect(error).toBeInstanceOf(EamError);
  return (error as Error).message;
};

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
  ])(
    'is accepted with the sizes of Stable Diffusion %s',
    async (_, { layers, heads, posEmbedMaxSize, qk_norm, dual }) => {
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

  it.each([
    {
      file: 'model_index.json',
      change: { _class_name: 'FluxPipeline' },
      message: /the pipeline FluxPipeline is not supported; supported: StableDiffusion3Pipeline/,
    },
    {
      file: 'model_index.json',
      change: { transformer: ['diffusers', 'FluxTransformer2DModel'] },
      message: /transformer: the class FluxTransformer2DModel is not supported; supported: SD3Transformer2DModel/,
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
      message: /DDIMScheduler is not supported; supported: FlowMatchEulerDiscreteScheduler/,
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
        /the autoencoder's latent_channels and the transformer's in_channels should be equal, 16 and 4 were found/,
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
      message: /projection_dim and the transformer's pooled_projection_dim should be equal, 32 and 28 were found/,
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
      message: /d_model and the transformer's joint_attention_dim should be equal, 64 and 32/,
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
      /cannot read .*vae.config\.json: ENOENT.*'$/,
    );
    expect(await refusal(readSd3Directory(new Sd3Copy().remove('text_encoder_3').path))).toMatch(
      new RegExp(
        String.raw`text_encoder_3.config\.json: ENOENT.* To do without T5, set text_encoder_3 and tokenizer_3 ` +
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

describe("the scheduler's noise levels", () => {
  it.each([4, 10, 28])("equal diffusers', to the bit, for %i steps", async (steps) => {
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

  it('are evenly spaced without a shift, but for the last', () => {
    const times = schedulerTimes({ trainSteps: 1000, shift: 1 }, 3);
    expect(times.map((time) => Number(time.toFixed(4)))).toEqual([0, 0.4995, 0.999, 1]);
  });
});

describe('the weight files of a component', () => {
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

  it('give the same weights as one file and as shards', async () => {
    const copy = await sharded();
    expect(await locateWeights(copy.file('text_encoder_3'))).toEqual(
      shardNames.map((name) => copy.file(`text_encoder_3/${name}`)),
    );
    const [one, parts] = [
      await openComponent(join(tinySd3, 'text_encoder_3')),
      await openComponent(copy.file('text_encoder_3')),
    ];
    const sorted = (weights: NativeWeightFiles) => weights.tensors().sort((a, b) => (a.name < b.name ? -1 : 1));
    expect(sorted(parts)).toEqual(sorted(one));
    // The same numbers under the same names: the networks give the same, to the bit.
    const { config } = (await readSd3Directory(tinySd3)).t5!;
    const ids = binding().Tensor.from(BigInt64Array.of(5n, 1n, 159n, 0n), [2, 2]);
    const [whole, joined] = await Promise.all(
      [one, parts].map(async (weights) => {
        const encoder = await binding().loadNetwork('t5-encoder', { config, weights, device: 'cpu' });
        weights.dispose();
        return (await encoder.encode(ids)).hidden.data();
      }),
    );
    expect(joined).toEqual(whole);
  });

  it('are refused with a shard missing, by its name', async () => {
    const copy = (await sharded()).remove(`text_encoder_3/${shardNames[1]!}`);
    expect(await refusal(openComponent(copy.file('text_encoder_3')))).toMatch(
      new RegExp(
        String.raw`text_encoder_3 lacks 1 of the 2 shards that model\.safetensors\.index\.json names: ` +
          String.raw`model-00002-of-00002\.safetensors; download it again`,
      ),
    );
  });

  it('are refused with a tensor in two shards, by its name', async () => {
    const copy = await sharded(true);
    expect(await refusal(openComponent(copy.file('text_encoder_3')))).toMatch(
      /^tensor ".*" is in both .*00001-of-00002\.safetensors and .*00002-of-00002/,
    );
  });

  it('are the plain ones among variants, else the only variant', async () => {
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

  it("are found as shards of a variant, as the published directories' T5 is", async () => {
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
    {
      what: 'none',
      change: (copy: Sd3Copy) => copy.remove('vae/diffusion_pytorch_model.safetensors'),
      message: /vae holds no weights: expected diffusion_pytorch_model\.safetensors or model\.safetensors/,
    },
    {
      what: 'only .bin',
      change: (copy: Sd3Copy) =>
        copy.remove('vae/diffusion_pytorch_model.safetensors').write('vae/diffusion_pytorch_model.bin', 'x'),
      message: /\.bin files are not read: convert them/,
    },
    {
      what: 'an index of nothing',
      change: (copy: Sd3Copy) =>
        copy
          .remove('vae/diffusion_pytorch_model.safetensors')
          .write('vae/diffusion_pytorch_model.safetensors.index.json', '{"weight_map": {}}'),
      message: /names no tensors/,
    },
    {
      what: 'an index that is none',
      change: (copy: Sd3Copy) =>
        copy
          .remove('vae/diffusion_pytorch_model.safetensors')
          .write('vae/diffusion_pytorch_model.safetensors.index.json', '{"weights": 1}'),
      message: /index\.json: weight_map: expected a record, but it is missing/,
    },
    {
      what: 'shards elsewhere',
      change: (copy: Sd3Copy) =>
        copy
          .remove('vae/diffusion_pytorch_model.safetensors')
          .write('vae/diffusion_pytorch_model.safetensors.index.json', '{"weight_map": {"a": "../x.safetensors"}}'),
      message: /names the shard "\.\.\/x\.safetensors", which is not in its own directory/,
    },
    {
      what: 'half a file',
      change: (copy: Sd3Copy) =>
        copy.write(
          'vae/diffusion_pytorch_model.safetensors',
          readFileSync(join(tinySd3, 'vae/diffusion_pytorch_model.safetensors')).subarray(0, 90_000),
        ),
      message: /diffusion_pytorch_model\.safetensors is not a valid safetensors file: .*cut short or damaged/,
    },
  ])('are refused where there is $what', async ({ change, message }) => {
    expect(await refusal(openComponent(change(new Sd3Copy()).file('vae')))).toMatch(message);
  });

  it('are refused where there is no directory', async () => {
    const copy = new Sd3Copy();
    mkdirSync(copy.file('empty'));
    expect(await refusal(openComponent(copy.file('empty')))).toMatch(/empty holds no weights/);
    expect(await refusal(openComponent(copy.file('nowhere')))).toMatch(/cannot read .*nowhere: ENOENT/);
  });
});
