// What a directory of FLUX.2 [klein] says: sizes, settings, and every one that the native networks do not have.
import { describe, expect, it } from 'vitest';

import { loadTensors, saveTensors } from '../../lib/files/safetensors.js';
import { readFlux2Directory } from '../../lib/models/flux2/directory.js';
import { latentShapeOf } from '../../lib/models/flux2/model.js';
import { drawingOf, locateModel, loadModel } from '../../lib/models/registry.js';
import { Tensor } from '../../lib/runtime/native/tensor.js';
import { Flux2Copy, otherFlux2, tinyFlux2 } from '../helpers/flux2.js';
import { refusal } from '../helpers/refusal.js';

describe('a directory of FLUX.2', () => {
  it('gives the sizes and settings of every component', async () => {
    const { transformer, autoencoder, scheduler, text, ...rest } = await readFlux2Directory(tinyFlux2);
    expect(transformer.config).toEqual({
      inChannels: 16,
      layers: 2,
      singleLayers: 3,
      heads: 2,
      headDim: 16,
      jointAttentionDim: 72,
      timeChannels: 256,
      mlpRatio: 3,
      ropeAxes: [4, 4, 4, 4],
      ropeTheta: 2000,
      normEpsilon: 1e-6,
    });
    expect(autoencoder.config).toMatchObject({ patchSize: 2, batchNormEpsilon: 1e-4 });
    expect(text.config).toEqual({
      vocabulary: 368,
      width: 24,
      intermediate: 40,
      layers: 28,
      heads: 4,
      keyValueHeads: 2,
      headDim: 8,
      normEpsilon: 1e-6,
      ropeTheta: 1e6,
      states: [9, 18, 27],
    });
    expect(scheduler).toEqual({ trainSteps: 1000, shift: 'exponential' });
    // 128 latents of two pixels, and a square of two latents.
    expect(rest).toMatchObject({ distilled: false, imageSize: 256, granularity: 4 });
  });

  it('gives the decoder widths of its own', async () => {
    const { autoencoder } = await readFlux2Directory(otherFlux2('three-heads'));
    expect(autoencoder.config.networks).toMatchObject({
      blockOutChannels: [4, 6, 8],
      decoderBlockOutChannels: [8, 4, 6],
    });
  });

  it('reads what transformers 4 writes: rope_theta beside the others', async () => {
    const copy = new Flux2Copy().set('text_encoder/config.json', { rope_parameters: undefined, rope_theta: 12_345 });
    expect((await readFlux2Directory(copy.path)).text.config.ropeTheta).toBe(12_345);
  });

  it('says how it is drawn: a distilled one in four steps without guidance', async () => {
    expect(await drawingOf(tinyFlux2)).toEqual({ steps: 50, solver: 'euler', guidance: 4 });
    expect(await drawingOf(otherFlux2('single-only'))).toEqual({ steps: 4, solver: 'euler', guidance: 1 });
  });

  it('has latents of a place for each square of pixels, and refuses sizes between', async () => {
    const directory = await readFlux2Directory(tinyFlux2);
    expect(latentShapeOf(directory, { width: 12, height: 8 })).toEqual([16, 2, 3]);
    expect(() => latentShapeOf(directory, { width: 12, height: 10 })).toThrow(
      'image height: expected a multiple of 4 pixels, such as 12, got 10',
    );
  });

  it('is located for merging without its text encoder', async () => {
    const copy = new Flux2Copy().remove('text_encoder');
    expect(await locateModel(copy.path)).toEqual({
      directory: copy.path,
      network: 'transformer',
      weights: [copy.file('transformer/diffusion_pytorch_model.safetensors')],
      folders: ['transformer', 'vae', 'scheduler', 'tokenizer'],
    });
  });

  const transformer = 'transformer/config.json';
  const text = 'text_encoder/config.json';
  const vae = 'vae/config.json';
  it.each([
    { file: transformer, set: { guidance_embeds: true }, message: /guidance_embeds: .*expected false/ },
    { file: transformer, set: { guidance_embeds: undefined }, message: /guidance_embeds: / },
    { file: transformer, set: { patch_size: 2 }, message: /patch_size: .*expected 1/ },
    { file: transformer, set: { axes_dims_rope: [4, 4, 8] }, message: /axes_dims_rope: / },
    {
      file: transformer,
      set: { axes_dims_rope: [4, 4, 4, 8] },
      message: /axes_dims_rope: expected numbers that add up to attention_head_dim, 16, got 20/,
    },
    { file: transformer, set: { axes_dims_rope: [3, 5, 4, 4] }, message: /axes_dims_rope/ },
    { file: transformer, set: { out_channels: 8 }, message: /out_channels: expected 16, as many as in_channels/ },
    { file: transformer, set: { num_layers: 0, num_single_layers: 0 }, message: /num_layers: expected at least one/ },
    { file: transformer, set: { in_channels: 32, out_channels: 32 }, message: /equal numbers, got 16 and 32/ },
    { file: transformer, set: { joint_attention_dim: 48 }, message: /joint_attention_dim: expected equal numbers/ },
    { file: transformer, set: { _class_name: 'FluxTransformer2DModel' }, message: /_class_name/ },
    { file: vae, set: { patch_size: [2, 1] }, message: /patch_size: expected the two sides of a square/ },
    {
      file: vae,
      set: { decoder_block_out_channels: [8] },
      message: /decoder_block_out_channels: expected 2 of them, as many as block_out_channels/,
    },
    {
      file: vae,
      set: { decoder_block_out_channels: [8, 6] },
      message: /decoder_block_out_channels: expected multiples of norm_num_groups, 4/,
    },
    { file: vae, set: { act_fn: 'relu' }, message: /act_fn/ },
    {
      file: text,
      set: { num_hidden_layers: 27 },
      message: /num_hidden_layers: expected a number of at least 28, got 27/,
    },
    { file: text, set: { attention_bias: true }, message: /attention_bias/ },
    { file: text, set: { use_sliding_window: true }, message: /use_sliding_window/ },
    { file: text, set: { hidden_act: 'gelu' }, message: /hidden_act/ },
    { file: text, set: { num_key_value_heads: 3 }, message: /num_key_value_heads: expected a divisor/ },
    {
      file: text,
      set: { rope_parameters: { rope_type: 'yarn', rope_theta: 1e6, factor: 4 } },
      message: /rope_parameters\.rope_type/,
    },
    { file: text, set: { rope_scaling: { type: 'linear', factor: 2 } }, message: /rope_scaling/ },
    { file: 'scheduler/scheduler_config.json', set: { use_karras_sigmas: true }, message: /use_karras_sigmas/ },
    { file: 'scheduler/scheduler_config.json', set: { shift_terminal: 0.1 }, message: /shift_terminal/ },
    { file: 'model_index.json', set: { is_distilled: 'yes' }, message: /is_distilled/ },
    { file: 'model_index.json', set: { text_encoder: [null, null] }, message: /text_encoder: it is left out$/ },
    {
      file: 'model_index.json',
      set: { text_encoder: ['transformers', 'Mistral3ForConditionalGeneration'] },
      message: /text_encoder: expected the class Qwen3ForCausalLM, got Mistral3/,
    },
    { file: 'model_index.json', set: { _class_name: 'Flux2Pipeline' }, message: /expected the pipeline .*Flux2Klein/ },
  ])('is refused with $set in $file', async ({ file, set, message }) => {
    const copy = new Flux2Copy().set(file, set);
    expect(await refusal(loadModel(copy.path))).toMatch(message);
  });

  /** A copy whose autoencoder has other tensors. */
  async function withTensors(change: (tensors: Record<string, Tensor>) => void): Promise<Flux2Copy> {
    const copy = new Flux2Copy();
    const file = 'vae/diffusion_pytorch_model.safetensors';
    const tensors = await loadTensors(copy.file(file));
    change(tensors);
    copy.remove(file);
    await saveTensors(copy.file(file), tensors, {});
    return copy;
  }

  it.each(['bn.running_mean', 'decoder.conv_in.weight'])('is refused without the tensor %s', async (name) => {
    const copy = await withTensors((tensors) => delete tensors[name]);
    expect(await refusal(loadModel(copy.path))).toContain(name);
  });

  it.each([-1, Number.NaN])('is refused with a variance of %d', async (value) => {
    const copy = await withTensors((tensors) => {
      tensors['bn.running_var'] = Tensor.from(new Float32Array(16).fill(1).fill(value, 3, 4), [16]);
    });
    expect(await refusal(loadModel(copy.path))).toMatch(/bn\.running_var: expected variances of at least 0/);
  });
});
