// Rollouts and drawing with the adapter folded into copies of the weights, with several layers' products in one, and
// with the rows of both conditionings in one evaluation, against the same numbers computed the long way.
import { join } from 'node:path';

import { beforeAll, describe, expect, it } from 'vitest';

import { disposeAll, loadTensors } from '../../lib/files/safetensors.js';
import { toTransformerConfig, transformerSchema } from '../../lib/models/flux2/config.js';
import { readJson } from '../../lib/schema/json.js';
import { binding } from '../../lib/runtime/native/index.js';
import type { LoraConfig, NativeFlowModel, NativeTensor } from '../../lib/runtime/native/binding.js';
import { peakOf } from '../helpers/executor.js';
import { tinyFlux2 } from '../helpers/flux2.js';
import { adaptedModel, tiny, velocity } from '../helpers/adapted-sd3.js';
import { loadSd3, numbers, sd35Lora } from '../helpers/sd3-transformer.js';
import { adamW, normal, randomise, relativeError } from '../helpers/tiny-model.js';

const { square } = tiny.goldens;
const cancellation = () => new (binding().Cancellation)();

interface Drawn {
  latents: number[];
  forwards: number;
}

/** Draws guided samples by Heun's method; `change` says what is drawn otherwise. */
async function draw(model: NativeFlowModel, change: object = {}): Promise<Drawn> {
  const unconditional = await Promise.all(
    square!.conditioning.map((tensor, index) => normal([...tensor.shape], BigInt(70 + index))),
  );
  const { latents, forwards } = await binding().sample(model, {
    conditioning: square!.conditioning,
    unconditional,
    guidance: 2.5,
    solver: 'heun',
    times: [0, 0.4, 0.9],
    shape: square!.x.shape,
    seed: 5n,
    firstSample: 0,
    weights: 'trained',
    cancellation: cancellation(),
    ...change,
  });
  const drawn = { latents: await numbers(latents), forwards };
  disposeAll([latents, ...unconditional]);
  return drawn;
}

/** What an adapted model draws, folded and not. */
async function both(load: (lora: { fold: boolean }) => Promise<NativeFlowModel>, change: object = {}) {
  const [folded, unfolded] = [
    await draw(await load({ fold: true }), change),
    await draw(await load({ fold: false }), change),
  ];
  return { folded: folded.latents, unfolded: unfolded.latents };
}

const sd3 =
  (options: NonNullable<Parameters<typeof loadSd3>[1]>, lora: Partial<LoraConfig> = {}) =>
  async (folding: { fold: boolean }) => {
    const model = await loadSd3(tiny, { ...options, lora: { ...sd35Lora, ...lora, ...folding } });
    await randomise(model, 'trainable', 0.1);
    return model;
  };

describe('an adapter that is folded', () => {
  it.each([
    { dtype: 'float64', bound: 1e-12 },
    { dtype: 'float32', bound: 1e-5 },
  ] as const)('draws what it draws unfolded, within $bound in $dtype', async ({ dtype, bound }) => {
    const { folded, unfolded } = await both(sd3({ dtype }));
    expect(relativeError(folded, unfolded)).toBeLessThan(bound);
    const pretrained = await draw(await sd3({ dtype })({ fold: true }), { weights: 'pretrained' });
    expect(relativeError(pretrained.latents, unfolded)).toBeGreaterThan(1e-2);
  });

  it.each(['bfloat16', 'float16'] as const)('draws in %s as near to the truth as unfolded', async (dtype) => {
    const truth = (await both(sd3({ dtype: 'float64' }))).unfolded;
    const { folded, unfolded } = await both(sd3({ dtype }));
    const last = dtype === 'bfloat16' ? 2 ** -8 : 2 ** -11;
    expect(relativeError(unfolded, truth)).toBeLessThan(16 * last);
    expect(relativeError(folded, truth)).toBeLessThan(16 * last);
  });

  it.each([
    ['some of the layers that share an input', ['attn.to_q', 'attn.add_v_proj', 'ff.net.0.proj']],
    ['modulations', ['norm1.linear', 'norm1_context.linear', 'norm_out.linear']],
    ['some of the modulations', ['norm1.linear']],
    ['all layers', ['to_q', 'to_k', 'to_v', 'to_out.0', 'linear', 'net.0.proj', 'net.2', 'linear_1', 'proj_out']],
  ])('draws the same where it adapts %s', async (_, targets) => {
    // Weights that loading copies, which are joined, and those that stay where they were.
    for (const dtype of ['float64', 'float32'] as const) {
      const { folded, unfolded } = await both(sd3({ dtype }, { targets }));
      expect(relativeError(folded, unfolded), dtype).toBeLessThan(dtype === 'float64' ? 1e-12 : 1e-5);
    }
  });

  it('is folded anew for each drawing: after a step, loaded weights, and for averages', async () => {
    const model = await sd3({ dtype: 'float64' })({ fold: true });
    const other = await sd3({ dtype: 'float64' })({ fold: false });
    const draws = async (change: (model: NativeFlowModel) => object) =>
      [(await draw(model, change(model))).latents, (await draw(other, change(other))).latents] as const;
    const optimizers = new Map([model, other].map((each) => [each, adamW(each, { emaDecay: 0.5 })]));
    const seen: number[][] = [];
    for (const scale of [0.1, 0.2]) {
      for (const each of [model, other]) await randomise(each, 'trainable', scale);
      const [found, expected] = await draws(() => ({}));
      expect(relativeError(found, expected)).toBeLessThan(1e-12);
      seen.push(found);
    }
    expect(relativeError(seen[0]!, seen[1]!)).toBeGreaterThan(1e-3);
    for (const each of [model, other]) {
      await binding().flowMatching(each, {
        x1: square!.x,
        conditioning: square!.conditioning,
        unconditional: square!.conditioning,
        dropout: 0,
        timeDistribution: 'uniform',
        seed: 1n,
        step: 0,
        cancellation: cancellation(),
      });
      await optimizers.get(each)!.step(0.05, Infinity);
    }
    const [stepped, expected] = await draws(() => ({}));
    expect(relativeError(stepped, expected)).toBeLessThan(1e-6);
    expect(relativeError(stepped, seen[1]!)).toBeGreaterThan(1e-3);
    const [averaged, expectedAverage] = await draws((each) => ({ average: optimizers.get(each)! }));
    expect(relativeError(averaged, expectedAverage)).toBeLessThan(1e-6);
    expect(relativeError(averaged, stepped)).toBeGreaterThan(1e-4);
    expect((await draw(model)).latents).toEqual(stepped);
  });

  it('is folded while something is drawn, and only then', async () => {
    const [folded, unfolded] = [
      await sd3({ dtype: 'float64' })({ fold: true }),
      await sd3({ dtype: 'float64' })({ fold: false }),
    ];
    const weights = folded.weights();
    const copies = Object.entries(weights)
      .filter(([name]) => sd35Lora.targets.some((target) => name.endsWith(`.${target}.weight`)))
      .reduce((sum, [, { shape }]) => sum + 8 * shape[0]! * shape[1]!, 0);
    const before = binding().tensorMemory().bytes;
    const [most, least] = [await peakOf(() => draw(folded)), await peakOf(() => draw(unfolded))];
    expect(most - least).toBeGreaterThan(0.8 * copies);
    expect(most - least).toBeLessThan(1.2 * copies);
    expect(binding().tensorMemory().bytes - before).toBeLessThan(0.05 * copies);
    // Gradients, and velocities that are asked for alone, are those of the adapter itself.
    const asked = async (fold: boolean) => velocity(await adaptedModel({ lora: { ...sd35Lora, fold } }), square!);
    expect(await asked(true)).toEqual(await asked(false));
  });

  it('is unfolded where drawing is aborted', async () => {
    const model = await sd3({})({ fold: true });
    const before = binding().tensorMemory().bytes;
    const aborted = cancellation();
    aborted.cancel();
    await expect(draw(model, { cancellation: aborted })).rejects.toThrow();
    expect(binding().tensorMemory().bytes - before).toBeLessThan(2 ** 12);
  });
});

describe('layers whose weights are joined', () => {
  it('keep their names and numbers, and are in memory once', async () => {
    const before = binding().tensorMemory().bytes;
    const model = await loadSd3(tiny, { lora: sd35Lora, dtype: 'float64' });
    const taken = binding().tensorMemory().bytes - before;
    const weights = model.weights();
    expect(Object.keys(weights).sort()).toEqual(Object.keys(tiny.tensors).sort());
    let count = 0;
    for (const [name, tensor] of Object.entries(weights)) {
      expect(await numbers(tensor), name).toEqual(await numbers(tiny.tensors[name]));
      count += tensor.shape.reduce((product, length) => product * length, 1);
    }
    const adapters = Object.values(model.trainable()).map(({ shape }) => shape[0]! * shape[1]!);
    const planned = 8 * count + 4 * adapters.reduce((sum, each) => sum + each, 0);
    // Biases that are joined are there twice: a thousandth. Each tensor is rounded up to 64 bytes.
    expect(taken).toBeLessThan(1.05 * planned + 64 * 200);
  });

  it('can be written to by their names', async () => {
    const model = await loadSd3(tiny, { lora: { ...sd35Lora, fold: false }, dtype: 'float64' });
    const expected = await draw(await loadSd3(tiny, { lora: sd35Lora, dtype: 'float64' }));
    const weights: Record<string, NativeTensor> = {};
    for (const [name, tensor] of Object.entries(model.weights()))
      weights[name] = await binding().weightedSum([tensor], [1]);
    await randomise(model, 'weights', 0.3);
    expect(relativeError((await draw(model)).latents, expected.latents)).toBeGreaterThan(1e-2);
    await model.load('weights', weights);
    expect(relativeError((await draw(model)).latents, expected.latents)).toBeLessThan(1e-12);
  });
});

describe('a guided drawing', () => {
  it.each([1, 2, 3, 4, 0])(
    'draws the same with at most %i rows an evaluation, and counts them all',
    async (microBatch) => {
      const model = await sd3({ dtype: 'float64' })({ fold: true });
      const whole = await draw(model);
      const found = await draw(model, { microBatch });
      expect(relativeError(found.latents, whole.latents)).toBeLessThan(1e-12);
      // Heun's method, two steps.
      expect([found.forwards, whole.forwards]).toEqual(Array(2).fill(2 * 4 * square!.x.shape[0]!));
    },
  );

  it('evaluates prompts of different lengths apart', async () => {
    const model = await sd3({ dtype: 'float64' })({ fold: true });
    const [embeddings, pooled] = square!.conditioning;
    const short = await normal([1, 3, embeddings!.shape[2]!], 9n);
    const longer = await binding().joinRows([short], [1, 3, embeddings!.shape[2]!]);
    const unconditional = [longer, await normal([1, pooled!.shape[1]!], 10n)];
    const found = await draw(model, { unconditional });
    const one = await draw(model, { unconditional, microBatch: 1 });
    expect(relativeError(found.latents, one.latents)).toBeLessThan(1e-12);
    expect(relativeError(found.latents, (await draw(model)).latents)).toBeGreaterThan(1e-4);
  });
});

describe('FLUX.2', () => {
  let load: (lora: { fold: boolean }, dtype?: 'float64' | 'float32') => Promise<NativeFlowModel>;
  beforeAll(async () => {
    const config = toTransformerConfig(
      transformerSchema.parse(await readJson(join(tinyFlux2, 'transformer/config.json'))),
    );
    const weights = await loadTensors(join(tinyFlux2, 'transformer/diffusion_pytorch_model.safetensors'));
    load = async (folding, dtype) => {
      const targets = binding().networkLayout('flux2', config).adaptable;
      const lora = { rank: 3, alpha: 6, targets, seed: 5n, ...folding };
      const model = await binding().loadNetwork('flux2', { config, weights, device: 'cpu', lora, dtype });
      await randomise(model, 'trainable', 0.1);
      return model;
    };
  });

  it.each(['float64', 'float32'] as const)('draws the same with its adapter folded, in %s', async (dtype) => {
    const change = {
      conditioning: [await normal([2, 5, 72], 20n)],
      unconditional: [await normal([1, 5, 72], 21n)],
      shape: [2, 16, 3, 4],
    };
    const { folded, unfolded } = await both((folding) => load(folding, dtype), change);
    expect(relativeError(folded, unfolded)).toBeLessThan(dtype === 'float64' ? 1e-12 : 1e-5);
    const pretrained = await draw(await load({ fold: true }, dtype), { ...change, weights: 'pretrained' });
    expect(relativeError(pretrained.latents, unfolded)).toBeGreaterThan(1e-2);
  });
});
