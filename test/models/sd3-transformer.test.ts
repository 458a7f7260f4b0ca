// Stable Diffusion 3's transformer against diffusers' numbers, and against itself in other precisions and with
// activations computed twice.
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { isDeepStrictEqual } from 'node:util';

import { describe, expect, it } from 'vitest';

import { autoencoderSchema, toAutoencoderConfig } from '../../lib/models/autoencoder-kl/config.js';
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
} from '../helpers/sd3-transformer.js';
import { peakOf } from '../helpers/executor.js';
import { expectClose } from '../helpers/numbers.js';
import { normal, relativeError, takeGradients } from '../helpers/tiny-model.js';
import { adaptedModel, gradients, tiny, velocity } from '../helpers/adapted-sd3.js';

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
      const images = await rollout.decode({ begin: 0, end: 2, keepGraph: true, cancellation });
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
