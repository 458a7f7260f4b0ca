// Stable Diffusion 3's transformer against diffusers' numbers, against itself in other precisions and with activations
// computed twice, and against input that does not fit.
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { isDeepStrictEqual } from 'node:util';

import { beforeAll, describe, expect, it } from 'vitest';

import { CheckpointError, ConfigError, ShapeError } from '../../lib/errors.js';
import { autoencoderSchema, toAutoencoderConfig } from '../../lib/models/sd3/config.js';
import { binding } from '../../lib/runtime/native/index.js';
import type { NativeFlowModel, NativeTensor, Sd3TransformerConfig } from '../../lib/runtime/native/binding.js';
import { loadTensors } from '../../lib/files/safetensors.js';
import {
  type Golden,
  loadSd3,
  numbers,
  otherTransformer,
  randomTensors,
  sd35,
  sd35Lora,
  sd35Transformer,
  type Transformer,
} from '../helpers/sd3-transformer.js';
import { peakOf } from '../helpers/executor.js';
import { expectClose } from '../helpers/numbers.js';
import { normal, randomise, relativeError, takeGradients } from '../helpers/tiny-model.js';

let tiny: Transformer;
beforeAll(async () => {
  tiny = await sd35Transformer();
});

const gradients = (model: NativeFlowModel, golden: Golden, names: readonly string[] = []) =>
  model.gradients(golden.x, golden.t, golden.conditioning, golden.upstream, names);

const velocity = async (model: NativeFlowModel, golden: Golden, pretrained = false): Promise<number[]> =>
  numbers(await model.velocity(golden.x, golden.t, golden.conditioning, pretrained));

/** With the adapter in lora_peft. */
async function adaptedModel(options: Parameters<typeof loadSd3>[1] = {}): Promise<NativeFlowModel> {
  const model = await loadSd3(tiny, { lora: sd35Lora, ...options });
  const stored = await loadTensors(join(sd35, 'lora_peft/adapter_model.safetensors'));
  await model.load(
    'trainable',
    Object.fromEntries(Object.entries(stored).map(([name, tensor]) => [name.replace('base_model.model.', ''), tensor])),
  );
  return model;
}

async function allGradients(model: NativeFlowModel, golden: Golden): Promise<Record<string, number[]>> {
  const found = await gradients(model, golden, model.trainableNames);
  const result: Record<string, number[]> = { velocity: await numbers(found.velocity), x: await numbers(found.x) };
  for (const [name, tensor] of Object.entries(found.tensors)) result[name] = await numbers(tensor);
  return result;
}

describe('checkpointing of the SD3 transformer', () => {
  it("keeps little memory: one block's activations instead of all", async () => {
    const grownBy = async (layers: number, checkpointing: boolean): Promise<number> => {
      const config: Sd3TransformerConfig = {
        ...tiny.config,
        layers,
        heads: 2,
        headDim: 32,
        captionProjectionDim: 64,
        dualAttentionLayers: [],
        posEmbedMaxSize: 24,
      };
      const x = await normal([4, 4, 48, 48], 1n);
      const golden = {
        x,
        t: new Float32Array(4).fill(0.3),
        conditioning: [await normal([4, 8, 32], 2n), await normal([4, 28], 3n)],
        upstream: x,
      };
      const loaded = await loadSd3({ config, tensors: await randomTensors(config) }, { lora: sd35Lora, checkpointing });
      return peakOf(() => gradients(loaded, golden as Golden));
    };
    const one = await grownBy(12, true);
    const all = await grownBy(12, false);
    // A block keeps some thirty arrays of the size of its tokens.
    const block = 30 * 4 * 576 * 64 * 4;
    expect(all, `${one} bytes and ${all}`).toBeGreaterThan(5 * block);
    expect(one, `${one} bytes and ${all}`).toBeLessThan(all / 3);
  });

  it.each([false, true])('gives the same velocity and gradients; adapters: %s', async (adapters) => {
    const load = (checkpointing: boolean) =>
      adapters ? adaptedModel({ checkpointing }) : loadSd3(tiny, { checkpointing });
    for (const golden of Object.values(tiny.goldens)) {
      const found = await allGradients(await load(true), golden);
      const expected = await allGradients(await load(false), golden);
      const different = Object.keys(expected).filter((name) => !isDeepStrictEqual(found[name], expected[name]));
      // The blocks' gradients of the one embedding that they share are added up in another order.
      expect(different.filter((name) => !name.startsWith('time_text_embed.'))).toEqual([]);
      for (const name of different) expect(relativeError(found[name]!, expected[name]!), name).toBeLessThan(1e-6);
      expect(Object.keys(expected).length).toBeGreaterThan(40);
    }
  });

  it('gives the same gradients where a loss is added to them', async () => {
    const trained = async (checkpointing: boolean): Promise<Record<string, number[]>> => {
      const model = await adaptedModel({ checkpointing });
      const { x, conditioning } = tiny.goldens['square']!;
      for (const seed of [1n, 2n]) {
        await binding().flowMatching(model, {
          x1: x,
          conditioning,
          unconditional: conditioning,
          dropout: 0,
          timeDistribution: 'uniform',
          seed,
          step: 0,
          cancellation: new (binding().Cancellation)(),
        });
      }
      return takeGradients(model);
    };
    const plain = await trained(false);
    expect(await trained(true)).toEqual(plain);
    expect(Math.max(...plain['transformer_blocks.0.attn.to_q.lora_A.weight']!.map(Math.abs))).toBeGreaterThan(0);
  });
});

describe('the SD3 transformer with its autoencoder', () => {
  const loadAutoencoder = async () =>
    binding().loadNetwork('autoencoder-kl', {
      config: toAutoencoderConfig(
        autoencoderSchema.parse(JSON.parse(readFileSync(join(sd35, 'vae/config.json'), 'utf8'))),
      ),
      weights: await loadTensors(join(sd35, 'vae/diffusion_pytorch_model.safetensors')),
      device: 'cpu',
    });

  it('decodes latents to images', async () => {
    const goldens = await loadTensors(join(sd35, 'goldens.safetensors'));
    const model = await loadSd3(tiny, { autoencoder: await loadAutoencoder() });
    const images = await model.images(goldens['vae.latents']!);
    const expected = (await numbers(goldens['vae.image'])).map((value) => value / 2 + 0.5);
    expect(relativeError(await numbers(images), expected)).toBeLessThan(1e-5);
  });

  // Its gradients are taken through the adapters, through the network without them, and through the images.
  it('trains by Adjoint Matching alike with and without checkpointing', async () => {
    const trained = async (checkpointing: boolean): Promise<Record<string, number[]>> => {
      const model = await adaptedModel({ checkpointing, autoencoder: await loadAutoencoder() });
      const algorithm = new (binding().AdjointMatching)(model, {
        lambda: 1,
        steps: 3,
        drawnSteps: 3,
        finalFraction: 1,
        guidance: 1,
        microBatch: 0,
        rewardGradientQuantile: 1,
        cap: 1e6,
        decodeSlice: 0,
      });
      const cancellation = new (binding().Cancellation)();
      const rollout = await algorithm.rollout({
        conditioning: tiny.goldens['square']!.conditioning,
        shape: [2, 4, 8, 8],
        seed: 1n,
        step: 0,
        cancellation,
      });
      const { images } = rollout;
      await algorithm.accumulate(rollout, new Float32Array(2), await normal(images.shape, 4n), cancellation);
      return takeGradients(model);
    };
    const plain = await trained(false);
    const found = await trained(true);
    for (const [name, gradient] of Object.entries(plain)) expectClose(found[name]!, gradient, 1e-5, name);
    expect(Math.max(...plain['transformer_blocks.0.attn.to_q.lora_A.weight']!.map(Math.abs))).toBeGreaterThan(0);
  });
});

describe('the SD3 transformer', () => {
  it.each(['square', 'wide'])('computes what diffusers does, and its gradients: %s', async (name) => {
    const golden = tiny.goldens[name]!;
    const model = await loadSd3(tiny);
    const found = await gradients(model, golden, Object.keys(golden.grads));
    expect(relativeError(await numbers(found.velocity), golden.velocity)).toBeLessThan(1e-5);
    expect(relativeError(await numbers(found.x), golden.gradX)).toBeLessThan(1e-5);
    for (const [key, expected] of Object.entries(golden.grads)) {
      expect(relativeError(await numbers(found.tensors[key]), expected), key).toBeLessThan(1e-5);
    }
    expect(await velocity(model, golden)).toEqual(await numbers(found.velocity));
  });

  it.each(['three-heads', 'dual-last'] as const)('computes what diffusers does in another shape: %s', async (name) => {
    const other = await otherTransformer(name);
    const golden = other.goldens['only']!;
    const found = await gradients(await loadSd3(other), golden, Object.keys(golden.grads));
    expect(relativeError(await numbers(found.velocity), golden.velocity)).toBeLessThan(1e-5);
    expect(relativeError(await numbers(found.x), golden.gradX)).toBeLessThan(1e-5);
    expect(Object.keys(golden.grads)).toHaveLength(3);
    for (const [key, expected] of Object.entries(golden.grads)) {
      expect(relativeError(await numbers(found.tensors[key]), expected), key).toBeLessThan(1e-5);
    }
  });

  it("has gradients that finite differences in float64 confirm, the adapters' among them", async () => {
    const double = (tensor: NativeTensor) => tensor.to({ dtype: 'float64' });
    const model = await adaptedModel({ dtype: 'float64' });
    const { x, t, conditioning, upstream } = tiny.goldens['wide']!;
    const golden = { x: await double(x), t, conditioning, upstream: await double(upstream) };
    const name = 'transformer_blocks.1.attn.add_v_proj.lora_B.weight';
    const { x: gradX, tensors } = await model.gradients(golden.x, t, conditioning, golden.upstream, [name]);
    const weights = await numbers(golden.upstream);
    const valueAt = async (moved: NativeTensor): Promise<number> =>
      (await numbers(await model.velocity(moved, t, conditioning, false))).reduce(
        (sum, value, i) => sum + weights[i]! * value,
        0,
      );

    const size = Math.hypot(...(await numbers(gradX)));
    const along = async (step: number) => valueAt(await binding().weightedSum([golden.x, gradX], [1, step / size]));
    expect(((await along(1e-4)) - (await along(-1e-4))) / 2e-4 / size).toBeCloseTo(1, 6);

    // Adapters are float32, so their own step is larger than its rounding.
    const { [name]: gradient } = tensors;
    const slope = Math.hypot(...(await numbers(gradient)));
    const trained = model.trainable();
    const alongAdapter = async (step: number): Promise<number> => {
      const moved = await binding().weightedSum([trained[name]!, gradient!], [1, step / slope]);
      const before = { ...trained, [name]: await binding().weightedSum([trained[name]!], [1]) };
      await model.load('trainable', { ...trained, [name]: moved });
      const value = await valueAt(golden.x);
      await model.load('trainable', before);
      return value;
    };
    expect(((await alongAdapter(0.01)) - (await alongAdapter(-0.01))) / 0.02 / slope).toBeCloseTo(1, 3);
  });

  it('evaluates each sample on its own', async () => {
    const other = await otherTransformer('three-heads');
    const { x, t, conditioning } = other.goldens['only']!;
    const model = await loadSd3(other);
    const together = await numbers(await model.velocity(x, t, conditioning, false));
    const row = async (tensor: NativeTensor): Promise<NativeTensor> => {
      const [batch, ...shape] = tensor.shape;
      const all = await numbers(tensor);
      const each = all.length / batch!;
      return binding().Tensor.from(Float32Array.from(all.slice(each, 2 * each)), [1, ...shape]);
    };
    const alone = await numbers(
      await model.velocity(await row(x), t.slice(1, 2), await Promise.all(conditioning.map(row)), false),
    );
    expect(relativeError(alone, together.slice(alone.length, 2 * alone.length))).toBeLessThan(1e-6);
  });

  it('runs in bfloat16 near its float32 self, on latents that stay float32', async () => {
    const golden = tiny.goldens['square']!;
    const found = await gradients(await loadSd3(tiny, { dtype: 'bfloat16' }), golden);
    expect([found.velocity.dtype, found.x.dtype]).toEqual(['float32', 'float32']);
    const error = relativeError(await numbers(found.velocity), golden.velocity);
    expect(error).toBeGreaterThan(2 ** -12);
    expect(error).toBeLessThan(4 * 2 ** -8);
    expect(relativeError(await numbers(found.x), golden.gradX)).toBeLessThan(8 * 2 ** -8);
  });

  it('computes in the dtype in which it is stored, unless told otherwise', async () => {
    const half: Record<string, NativeTensor> = {};
    for (const [name, tensor] of Object.entries(tiny.tensors)) half[name] = await tensor.to({ dtype: 'bfloat16' });
    // As in published files, where the table of positions keeps more bits.
    const model = await loadSd3({
      config: tiny.config,
      tensors: { ...half, 'pos_embed.pos_embed': tiny.tensors['pos_embed.pos_embed']! },
    });
    expect(new Set(Object.values(model.weights()).map(({ dtype }) => dtype))).toEqual(new Set(['bfloat16']));
    const golden = tiny.goldens['square']!;
    expect(await velocity(model, golden)).toEqual(await velocity(await loadSd3(tiny, { dtype: 'bfloat16' }), golden));
  });

  it('shares memory with the tensors that it was given, and leaves them as they were', async () => {
    const tensors = await loadTensors(join(sd35, 'transformer/diffusion_pytorch_model.safetensors'));
    const model = await loadSd3({ config: tiny.config, tensors });
    const weights = model.weights();
    expect(Object.keys(weights).sort()).toEqual(Object.keys(tensors).sort());
    for (const [name, tensor] of Object.entries(tensors))
      expect(weights[name]!.dataPointer, name).toBe(tensor.dataPointer);
  });

  it('trains every weight but the table of positions', async () => {
    const model = await loadSd3(tiny);
    expect([...model.trainableNames, 'pos_embed.pos_embed'].sort()).toEqual(Object.keys(tiny.tensors).sort());
  });
});

describe('adapters of the SD3 transformer', () => {
  it("compute what PEFT's do, and their gradients", async () => {
    const model = await adaptedModel();
    const goldens = await loadTensors(join(sd35, 'goldens.safetensors'));
    const found = await gradients(model, tiny.goldens['square']!, model.trainableNames);
    expect(relativeError(await numbers(found.velocity), await numbers(goldens['lora.sample'], -1))).toBeLessThan(1e-5);
    const names = Object.keys(goldens).filter((name) => name.startsWith('lora.grad.'));
    expect(names).toHaveLength(model.trainableNames.length);
    for (const name of names) {
      const gradient = await numbers(found.tensors[`${name.replace('lora.grad.', '')}.weight`]);
      const expected = await numbers(goldens[name], -1);
      // The last block drops its context, so that block's context queries change nothing.
      const none = name.startsWith('lora.grad.transformer_blocks.2.attn.add_q_proj');
      expect(
        expected.every((value) => value === 0),
        name,
      ).toBe(none);
      if (none)
        expect(
          gradient.every((value) => value === 0),
          name,
        ).toBe(true);
      else expect(relativeError(gradient, expected), name).toBeLessThan(1e-5);
    }
  });

  it.each([false, true])(
    'leave the pretrained velocity as it was, to the bit; checkpointing: %s',
    async (checkpointing) => {
      const golden = tiny.goldens['wide']!;
      const model = await adaptedModel({ checkpointing });
      const base = await velocity(await loadSd3(tiny), golden);
      expect(await velocity(model, golden, true)).toEqual(base);
      expect(relativeError(await velocity(model, golden), base)).toBeGreaterThan(1e-3);
    },
  );

  it('change nothing before training, to the bit', async () => {
    const golden = tiny.goldens['square']!;
    expect(await velocity(await loadSd3(tiny, { lora: sd35Lora }), golden)).toEqual(
      await velocity(await loadSd3(tiny), golden),
    );
  });

  it('can be on any linear layer', async () => {
    const targets = [
      'linear_1',
      'linear_2',
      'linear',
      'context_embedder',
      'net.2',
      'proj',
      'attn2.to_out.0',
      'proj_out',
    ];
    const model = await loadSd3(tiny, { lora: { rank: 2, alpha: 2, seed: 1n, targets }, checkpointing: true });
    await randomise(model, 'trainable', 0.1);
    const { tensors } = await gradients(model, tiny.goldens['square']!, model.trainableNames);
    expect(model.trainableNames).toHaveLength(2 * (4 + 7 + 1 + 5 + 5 + 2 + 1));
    for (const [name, gradient] of Object.entries(tensors)) {
      expect(Math.max(...(await numbers(gradient)).map(Math.abs)), name).toBeGreaterThan(0);
    }
  });
});

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
    await expect(load).rejects.toThrow(
      new RegExp(
        String.raw`3 tensors do not fit the transformer:.*missing: proj_out\.bias \[16\].*|proj_out\.weight ` +
          String.raw`has shape \[16, 31\], expected \[16, 32\].*not known here: controlnet\.weight`,
        's',
      ),
    );
    // Three blocks of a published network where two are configured.
    await expect(withConfig({ layers: 2, dualAttentionLayers: [0, 1] })).rejects.toThrow(
      /norm1_context\.linear\.weight has shape \[192, 32\], expected \[64, 32\]/,
    );
    await expect(withConfig({ qkNorm: false })).rejects.toThrow(
      /not known here: transformer_blocks\.0\.attn\.norm_added_k\.weight/,
    );
    await expect(loadSd3({ config: { ...tiny.config, layers: 24 }, tensors: {} })).rejects.toThrow(/and \d+ more/);
  });

  it('lists the layers that targets may name once for all blocks', async () => {
    const error = await loadSd3(tiny, { lora: { ...sd35Lora, targets: ['attn.to_query'] } }).then(
      () => undefined,
      (caught: Error) => caught,
    );
    const [first, ...layers] = error!.message.split('\n  ');
    expect(first).toContain("'attn.to_query' fits no layer");
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
    { what: 'channels', shape: [2, 5, 8, 8], message: /x has shape \[2, 5, 8, 8\], expected \[B, 4, height, width\]/ },
    { what: 'an odd height', shape: [2, 4, 7, 8], message: /x has height 7, expected a multiple of 2 from 2 to 48/ },
    {
      what: 'more patches than positions',
      shape: [2, 4, 8, 50],
      message: /x has width 50, expected .* to 48, the most that the table/,
    },
    { what: 'no height', shape: [2, 4, 0, 8], message: /x has height 0/ },
    { what: 'dimensions', shape: [2, 4, 8], message: /x has shape \[2, 4, 8\]/ },
  ])('refuses latents with wrong $what', async ({ shape, message }) => {
    const model = await loadSd3(tiny);
    const { t, conditioning } = tiny.goldens['square']!;
    const x = shape.includes(0) ? binding().Tensor.from(new Float32Array(0), shape) : await normal(shape, 1n);
    await expect(model.velocity(x, t, conditioning, false)).rejects.toThrow(ShapeError);
    await expect(model.velocity(x, t, conditioning, false)).rejects.toThrow(message);
  });

  it('refuses latents of half precision, and conditioning of other shapes', async () => {
    const model = await loadSd3(tiny);
    const { x, t, conditioning } = tiny.goldens['square']!;
    const [embeddings, pooled] = conditioning as [NativeTensor, NativeTensor];
    await expect(model.velocity(await x.to({ dtype: 'bfloat16' }), t, conditioning, false)).rejects.toThrow(
      /x is BFloat16, expected float32/,
    );
    await expect(model.velocity(x, t, [embeddings], false)).rejects.toThrow(/conditioning has 1 tensors, expected two/);
    await expect(model.velocity(x, t, [await normal([2, 9, 31], 1n), pooled], false)).rejects.toThrow(
      /conditioning\[0\] is Float \[2, 9, 31\], expected floating-point embeddings \[2, L, 32\]/,
    );
    await expect(model.velocity(x, t, [await normal([1, 9, 32], 1n), pooled], false)).rejects.toThrow(
      /conditioning\[0\]/,
    );
    await expect(model.velocity(x, t, [embeddings, embeddings], false)).rejects.toThrow(
      /conditioning\[1\] is Float \[2, 9, 32\]/,
    );
    await expect(model.velocity(x, t, [embeddings, await pooled.to({ dtype: 'int64' })], false)).rejects.toThrow(
      /conditioning\[1\] is Long/,
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
