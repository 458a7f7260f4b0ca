// FLUX.2's transformer against itself: with activations computed twice, in other precisions, and what it refuses.
import { readFileSync } from 'node:fs';
import { join } from 'node:path';

import { describe, expect, it } from 'vitest';

import { toTransformerConfig, transformerSchema } from '../../lib/models/flux2/config.js';
import { defaultTargets } from '../../lib/models/flux2/model.js';
import { loadTensors } from '../../lib/files/safetensors.js';
import { binding } from '../../lib/runtime/native/index.js';
import type { Flux2TransformerConfig, NativeFlowModel, NetworkParts } from '../../lib/runtime/native/binding.js';
import { otherFlux2, tinyFlux2 } from '../helpers/flux2.js';
import { numbersOf } from '../helpers/numbers.js';
import { scaledError, waves } from '../helpers/published.js';
import { refusal } from '../helpers/refusal.js';

const configOf = (directory: string): Flux2TransformerConfig =>
  toTransformerConfig(
    transformerSchema.parse(JSON.parse(readFileSync(join(directory, 'transformer/config.json'), 'utf8'))),
  );
const config = configOf(tinyFlux2);
const tensors = await loadTensors(join(tinyFlux2, 'transformer/diffusion_pytorch_model.safetensors'));
const load = (options: Partial<NetworkParts<'flux2'>> = {}): Promise<NativeFlowModel> =>
  binding().loadNetwork('flux2', { config, weights: tensors, device: 'cpu', ...options });
const lora = { rank: 3, alpha: 6, targets: defaultTargets(config), seed: 5n };

const x = await waves([2, 16, 3, 4], 0.3, 1).to({ dtype: 'float32' });
const t = Float32Array.of(0.1, 0.8);
const embeddings = await waves([2, 5, 72], 0.7, 1).to({ dtype: 'float32' });
const upstream = await waves([2, 16, 3, 4], 1.1, 1).to({ dtype: 'float32' });

/** The adapter's B is zero at first: the adapted network is then the pretrained one. */
async function withAdapter(options: Partial<NetworkParts<'flux2'>> = {}): Promise<NativeFlowModel> {
  const model = await load({ lora, ...options });
  const adapters = Object.entries(model.trainable());
  await model.load(
    'trainable',
    Object.fromEntries(
      await Promise.all(
        adapters.map(async ([name, { shape }], index) => [
          name,
          await waves(shape, index, 0.2).to({ dtype: 'float32' }),
        ]),
      ),
    ),
  );
  return model;
}

describe("FLUX.2's transformer", () => {
  it.each(['three-heads', 'double-only', 'single-only'] as const)(
    'adapts all layers of the attention in %s',
    (name) => {
      const own = configOf(otherFlux2(name));
      const { adaptable } = binding().networkLayout('flux2', own);
      const attention = adaptable.filter((layer) => layer.includes('.attn.'));
      const adapted = adaptable.filter((layer) =>
        defaultTargets(own).some((target) => layer === target || layer.endsWith(`.${target}`)),
      );
      expect(adapted).toEqual(attention);
    },
  );

  it('is the pretrained network with its adapter off', async () => {
    const plain = await (await load()).velocity(x, t, [embeddings], false);
    const adapted = await withAdapter();
    expect(await scaledError(await adapted.velocity(x, t, [embeddings], true), plain)).toBe(0);
    expect(await scaledError(await adapted.velocity(x, t, [embeddings], false), plain)).toBeGreaterThan(0.01);
  });

  it.each([true, false])('has the same gradients with checkpointing, adapters: %s', async (adapted) => {
    const [plain, checkpointed] = await Promise.all(
      [false, true].map((checkpointing) => (adapted ? withAdapter({ checkpointing }) : load({ checkpointing }))),
    );
    const names = plain!.trainableNames;
    const [kept, repeated] = await Promise.all(
      [plain!, checkpointed!].map((model) => model.gradients(x, t, [embeddings], upstream, names)),
    );
    expect(await scaledError(repeated!.velocity, kept!.velocity)).toBe(0);
    expect(await scaledError(repeated!.x, kept!.x)).toBeLessThan(1e-6);
    for (const name of names)
      expect(await scaledError(repeated!.tensors[name]!, kept!.tensors[name]!), name).toBeLessThan(1e-5);
  });

  it('draws near to itself in half precision, and nearer in double', async () => {
    const single = await (await load()).velocity(x, t, [embeddings], false);
    for (const [dtype, tolerance] of [
      ['float64', 2e-6],
      ['float16', 0.02],
      ['bfloat16', 0.1],
    ] as const) {
      const model = await load({ dtype });
      const found = await model.velocity(x, t, [embeddings], false);
      expect(found.dtype).toBe('float32');
      expect(await scaledError(found, single), dtype).toBeLessThan(tolerance);
    }
  });

  it('stays finite in float16 where activations would not', async () => {
    const large = await waves([2, 5, 72], 0.7, 3e4).to({ dtype: 'float32' });
    const found = await (await load({ dtype: 'float16' })).velocity(x, t, [large], false);
    expect((await numbersOf(found)).every(Number.isFinite)).toBe(true);
  });

  it('tells places apart, and rows from columns', async () => {
    const model = await load();
    const transposed = async (of: typeof x) => {
      const [batch, channels, rows, columns] = of.shape as [number, number, number, number];
      const data = await numbersOf(of);
      return Float32Array.from(data, (_, index) => {
        const plane = Math.floor(index / (rows * columns));
        const place = index % (rows * columns);
        return data[plane * rows * columns + (place % rows) * columns + Math.floor(place / rows)]!;
      }).slice(0, batch * channels * rows * columns);
    };
    const turned = binding().Tensor.from(await transposed(x), [2, 16, 4, 3]);
    const found = await model.velocity(turned, t, [embeddings], false);
    const same = binding().Tensor.from(
      await transposed(await model.velocity(x, t, [embeddings], false)),
      [2, 16, 4, 3],
    );
    expect(await scaledError(found, same)).toBeGreaterThan(0.001);
  });

  const long = { dtype: 'float32' } as const;
  it.each([
    { what: 'latents of other channels', of: { x: waves([2, 8, 3, 4], 0, 1) }, why: /x: expected shape \[B, 16, / },
    { what: 'latents without a row', of: { x: waves([2, 16, 0, 4], 0, 1) }, why: /x: expected a height and width/ },
    {
      what: 'one time for two samples',
      of: { t: Float32Array.of(0.5) },
      why: /t: expected .* one entry a sample \(2\)/,
    },
    {
      what: 'a pooled embedding',
      of: { conditioning: [embeddings, embeddings] },
      why: /conditioning: expected one tensor/,
    },
    {
      what: 'embeddings of another width',
      of: { conditioning: [waves([2, 5, 70], 0, 1)] },
      why: /conditioning\[0\]: expected floating-point embeddings \[2, L, 72\]/,
    },
    { what: 'embeddings without tokens', of: { conditioning: [waves([2, 0, 72], 0, 1)] }, why: /conditioning\[0\]/ },
  ])('refuses $what', async ({ of, why }) => {
    const given = { x, t, conditioning: [embeddings], ...of };
    const model = await load();
    const latents = await given.x.to(long);
    expect(await refusal(model.velocity(latents, given.t, given.conditioning, false))).toMatch(why);
  });

  it.each([
    { set: { ropeAxes: [4, 4, 8] }, why: /ropeAxes: expected four numbers/ },
    { set: { ropeAxes: [4, 4, 4, 2] }, why: /ropeAxes: expected numbers that add up to headDim, 16, got 14/ },
    { set: { ropeAxes: [3, 5, 4, 4] }, why: /ropeAxes: expected a multiple of/ },
    { set: { timeChannels: 255 }, why: /timeChannels: expected a multiple of/ },
    { set: { layers: 0, singleLayers: 0 }, why: /layers: expected at least one block in all/ },
    { set: { mlpRatio: 0.01 }, why: /mlpRatio: expected at least one number/ },
  ])('is not made with $set', async ({ set, why }) => {
    expect(await refusal(load({ config: { ...config, ...set } }))).toMatch(why);
  });

  it('is refused with tensors that do not fit, by their names', async () => {
    const { 'x_embedder.weight': _, ...rest } = tensors;
    const weights = { ...rest, 'proj_out.bias': tensors['transformer_blocks.0.attn.norm_q.weight']! };
    const message = await refusal(binding().loadNetwork('flux2', { config, weights, device: 'cpu' }));
    expect(message).toMatch(/x_embedder\.weight: expected shape \[32, 16\]/);
    expect(message).toMatch(/proj_out\.bias: unknown tensor/);
  });
});
