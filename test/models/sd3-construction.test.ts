// Configurations, tensors and inputs that Stable Diffusion 3's transformer refuses.
import { describe, expect, it } from 'vitest';

import { CheckpointError, ConfigError, ShapeError } from '../../lib/errors.js';
import { binding } from '../../lib/runtime/native/index.js';
import type { NativeTensor, Sd3TransformerConfig } from '../../lib/runtime/native/binding.js';
import { loadSd3, sd35Lora } from '../helpers/sd3-transformer.js';
import { normal } from '../helpers/tiny-model.js';
import { gradients, tiny } from '../helpers/adapted-sd3.js';

describe('the construction of an SD3 transformer', () => {
  const withConfig = (change: Partial<Sd3TransformerConfig>) =>
    loadSd3({ ...tiny, config: { ...tiny.config, ...change } });

  it.each<{ what: string; change: Partial<Sd3TransformerConfig>; message: RegExp }>([
    { what: 'heads', change: { heads: 0 }, message: /^sd3: heads: expected a number of at least 1, got 0/ },
    { what: 'heads', change: { heads: 3 }, message: /captionProjectionDim: expected heads · headDim, 24, got 32/ },
    { what: 'layers', change: { layers: -1 }, message: /layers: expected a number of at least 1, got -1/ },
    {
      what: 'dualAttentionLayers',
      change: { dualAttentionLayers: [0, 3] },
      message: /dualAttentionLayers: expected layers from 0 to 2, got 3/,
    },
    { what: 'outChannels', change: { outChannels: 8 }, message: /outChannels: expected inChannels, 4.*, got 8/ },
    {
      what: 'posEmbedMaxSize',
      change: { posEmbedMaxSize: 1e9 },
      message: /posEmbedMaxSize: expected a number of at most 4096, got 1000000000/,
    },
  ])('refuses a configuration with impossible $what', async ({ change, message }) => {
    await expect(withConfig(change)).rejects.toThrow(ConfigError);
    await expect(withConfig(change)).rejects.toThrow(message);
  });

  it('refuses options that it does not know, or of the wrong kind', async () => {
    await expect(loadSd3(tiny, { checkpoint: true } as object)).rejects.toThrow(/checkpoint/);
    await expect(loadSd3(tiny, { dtype: 'int32' })).rejects.toThrow(
      /dtype`?: expected one of "float32", "float64", "bfloat16", "float16", got "int32"/,
    );
    await expect(loadSd3(tiny, { autoencoder: {} as never })).rejects.toThrow(/autoencoder/);
    await expect(loadSd3(tiny, { device: 'tpu' })).rejects.toThrow(ConfigError);
  });

  it('lists tensors that are missing, misshapen or of another network', async () => {
    const { 'proj_out.bias': _, ...rest } = tiny.tensors;
    const tensors = {
      ...rest,
      'proj_out.weight': await normal([16, 31], 1n),
      'controlnet.weight': await normal([2], 1n),
    };
    const load = loadSd3({ config: tiny.config, tensors });
    await expect(load).rejects.toThrow(CheckpointError);
    for (const line of [
      'sd3: 3 tensors do not fit the transformer:',
      '\n  proj_out.bias: expected shape [16], but it is missing\n',
      '\n  proj_out.weight: expected shape [16, 32], got [16, 31]\n',
      '\n  controlnet.weight: unknown tensor of shape [2]\n',
    ])
      await expect(load).rejects.toThrow(line);
    // Three blocks of a published network where two are configured.
    await expect(withConfig({ layers: 2, dualAttentionLayers: [0, 1] })).rejects.toThrow(
      /norm1_context\.linear\.weight: expected shape \[64, 32\], got \[192, 32\]/,
    );
    await expect(withConfig({ qkNorm: false })).rejects.toThrow(
      /transformer_blocks\.0\.attn\.norm_added_k\.weight: unknown tensor of shape/,
    );
    await expect(loadSd3({ config: { ...tiny.config, layers: 24 }, tensors: {} })).rejects.toThrow(/and \d+ more/);
  });

  it('lists the layers that targets may name once for all blocks', async () => {
    const error = await loadSd3(tiny, { lora: { ...sd35Lora, targets: ['attn.to_query'] } }).then(
      () => undefined,
      (caught: Error) => caught,
    );
    const [first, ...layers] = error!.message.split('\n  ');
    expect(first).toBe(
      `sd3: adapter.targets: expected ends of layers' names, got "attn.to_query"; the layers are, for block N:`,
    );
    expect(layers).toEqual(
      expect.arrayContaining(['transformer_blocks.N.attn.to_q', 'transformer_blocks.N.attn.to_out.0', 'proj_out']),
    );
    expect(new Set(layers).size).toBe(layers.length);
    expect(layers.length).toBeLessThan(40);
    expect(error!.message).not.toMatch(/blocks\.\d/);
  });

  it.each([
    { change: { targets: [] }, message: /adapter\.targets: expected at least one layer to train, got none/ },
    { change: { rank: 0 }, message: /^sd3: adapter\.rank: expected a number of at least 1, got 0/ },
    { change: { alpha: Infinity }, message: /alpha/ },
  ])('refuses the adapter $change', async ({ change, message }) => {
    await expect(loadSd3(tiny, { lora: { ...sd35Lora, ...change } })).rejects.toThrow(message);
  });

  it.each<{ what: string; shape: number[]; message: RegExp }>([
    {
      what: 'channels',
      shape: [2, 5, 8, 8],
      message: /x: expected shape \[B, 4, height, width\], got \[2, 5, 8, 8\]/,
    },
    {
      what: 'an odd height',
      shape: [2, 4, 7, 8],
      message: /x: height: expected a multiple of 2 from 2 to 48, .*, got 7/,
    },
    {
      what: 'more patches than positions',
      shape: [2, 4, 8, 50],
      message: /x: width: expected .* to 48, the most that the table of positions covers, got 50/,
    },
    { what: 'no height', shape: [2, 4, 0, 8], message: /x: height: expected .*, got 0/ },
    { what: 'dimensions', shape: [2, 4, 8], message: /x: expected shape .*, got \[2, 4, 8\]/ },
    { what: 'no samples', shape: [0, 4, 8, 8], message: /x: expected at least one sample, got shape \[0, 4, 8, 8\]/ },
  ])('refuses latents with wrong $what', async ({ shape, message }) => {
    const model = await loadSd3(tiny);
    const { t, conditioning } = tiny.goldens['square']!;
    const x = shape.includes(0) ? binding().Tensor.from(new Float32Array(0), shape) : await normal(shape, 1n);
    const times = t.slice(0, shape[0]);
    await expect(model.velocity(x, times, conditioning, false)).rejects.toThrow(ShapeError);
    await expect(model.velocity(x, times, conditioning, false)).rejects.toThrow(message);
  });

  it('refuses latents of half precision, and conditioning of other shapes', async () => {
    const model = await loadSd3(tiny);
    const { x, t, conditioning } = tiny.goldens['square']!;
    const [embeddings, pooled] = conditioning as [NativeTensor, NativeTensor];
    await expect(model.velocity(await x.to({ dtype: 'bfloat16' }), t, conditioning, false)).rejects.toThrow(
      /x: expected float32 or float64 latents .*, got BFloat16/,
    );
    await expect(model.velocity(x, t, [embeddings], false)).rejects.toThrow(
      /conditioning: expected two tensors, .* got 1/,
    );
    await expect(model.velocity(x, t, [await normal([2, 9, 31], 1n), pooled], false)).rejects.toThrow(
      /conditioning\[0\]: expected floating-point embeddings \[2, L, 32\], got Float \[2, 9, 31\]/,
    );
    await expect(model.velocity(x, t, [await normal([1, 9, 32], 1n), pooled], false)).rejects.toThrow(
      /conditioning\[0\]/,
    );
    await expect(model.velocity(x, t, [embeddings, embeddings], false)).rejects.toThrow(
      /conditioning\[1\]: expected floating-point pooled embeddings \[2, 28\], got Float \[2, 9, 32\]/,
    );
    await expect(model.velocity(x, t, [embeddings, await pooled.to({ dtype: 'int64' })], false)).rejects.toThrow(
      /conditioning\[1\]: expected floating-point pooled embeddings \[2, 28\], got Long \[2, 28\]/,
    );
    await expect(model.velocity(x, Float32Array.of(0.5), conditioning, false)).rejects.toThrow(ShapeError);
  });

  it('refuses gradients of what is not trained, and upstream gradients of another shape', async () => {
    const model = await loadSd3(tiny, { lora: sd35Lora });
    const golden = tiny.goldens['square']!;
    await expect(gradients(model, golden, ['proj_out.weight'])).rejects.toThrow(
      /gradients: names: expected those of the model's 46 trainable tensors .*, got .proj_out\.weight/,
    );
    await expect(gradients(model, { ...golden, upstream: await normal([2, 4, 12, 10], 1n) })).rejects.toThrow(
      ShapeError,
    );
  });

  it('says that it has no images without an autoencoder', async () => {
    const model = await loadSd3(tiny);
    await expect(model.images(tiny.goldens['square']!.x)).rejects.toThrow(/without an autoencoder/);
  });
});
