// The plan of FLUX.2 [klein]: its numbers, layers, operations and memory.
import { readFileSync } from 'node:fs';
import { join } from 'node:path';

import { describe, expect, it } from 'vitest';

import { ConfigError } from '../../lib/errors.js';
import type { ModelFootprint } from '../../lib/models/footprint.js';
import { readFlux2Directory } from '../../lib/models/flux2/directory.js';
import { publishedFlux2 } from '../../lib/models/flux2/published.js';
import { LinearLayers, parametersOf } from '../../lib/models/pipeline/layers.js';
import { loadModel, modelFootprint } from '../../lib/models/registry.js';
import { readHeader } from '../../lib/files/safetensors.js';
import { binding } from '../../lib/runtime/native/index.js';
import { plan } from '../helpers/jobs.js';
import { otherFlux2, tinyFlux2 } from '../helpers/flux2.js';
import { config as sd3Config, folder, useEmptyCaches } from '../helpers/plan-config.js';
import { measure, planned } from '../helpers/plan-measurement.js';
import { failure } from '../helpers/refusal.js';

useEmptyCaches();

const config = { ...sd3Config, model: tinyFlux2 };
const published = JSON.parse(
  readFileSync(new URL('../../configs/flux2-klein-4b.json', import.meta.url), 'utf8'),
) as object;

describe('the plan of FLUX.2', () => {
  it('has the numbers of the native networks where no file is there', async () => {
    const { directory, parameters, transformerLayers } = publishedFlux2();
    const layout = <Kind extends 'flux2' | 'flux2-autoencoder' | 'qwen3-encoder'>(kind: Kind, of: never) =>
      Object.entries(binding().networkLayout(kind, of).tensors).map(([name, shape]) => ({ name, shape }));
    const transformer = layout('flux2', directory.transformer.config as never);
    expect({
      transformer: parametersOf(transformer),
      autoencoder: parametersOf(layout('flux2-autoencoder', directory.autoencoder.config as never)),
      text: parametersOf(layout('qwen3-encoder', directory.text.config as never)),
    }).toEqual(parameters);
    const shapes = (tensors: { name: string; shape: readonly number[] }[]) =>
      Object.fromEntries(tensors.map(({ name, shape }) => [name, shape]));
    expect(shapes(transformerLayers)).toEqual(shapes(transformer.filter(({ shape }) => shape.length === 2)));
    const { memory } = await plan(
      { ...published, model: '/nowhere', rewards: [{ name: 'stroke-weight' }] },
      {
        like: 'flux2-klein-4b',
      },
    );
    expect(memory!.networks.map(({ parameters: count }) => count)).toEqual([
      parameters.transformer,
      parameters.autoencoder,
    ]);
  });

  it('estimates the time on every card: the rates were measured with another network', async () => {
    const asked = { ...published, model: '/nowhere', device: 'cuda', rewards: [{ name: 'stroke-weight' }] };
    const { cards } = await plan(asked, { like: 'flux2-klein-4b' });
    expect(cards.length).toBeGreaterThan(3);
    expect(cards.some(({ measured }) => measured)).toBe(false);
  });

  it('finds the layers that an adapter can be trained on, as the native network lists them', async () => {
    const { entries } = await readHeader(join(tinyFlux2, 'transformer/diffusion_pytorch_model.safetensors'));
    const { transformer } = await readFlux2Directory(tinyFlux2);
    expect(new LinearLayers(entries).names.sort()).toEqual(
      binding().networkLayout('flux2', transformer.config).adaptable.sort(),
    );
  });

  it('counts what the adapter trains, and of the text encoder what is read', async () => {
    const { memory } = await plan(config);
    using model = await loadModel(tinyFlux2, { adapter: config.adapter });
    const trained = Object.values(model.native.trainable()).map(({ shape }) => ({ name: '', shape }));
    expect(memory!.trainable).toBe(parametersOf(trained));
    const { text } = await readFlux2Directory(tinyFlux2);
    const { tensors } = binding().networkLayout('qwen3-encoder', text.config);
    expect(memory!.encoders).toMatchObject([
      {
        name: 'text encoder (Qwen3)',
        parameters: parametersOf(Object.entries(tensors).map(([name, shape]) => ({ name, shape }))),
      },
    ]);
  });

  it('encodes no negative prompt for a distilled model', async () => {
    const image = { width: 64, height: 64 };
    const algorithm = { ...config.algorithm, guidance: 1, allowGuidedRollout: false };
    const { memory } = await plan({ ...config, model: otherFlux2('single-only'), algorithm, image });
    expect(memory!.prompts).toEqual({ count: 2, missing: 2 });
  });

  it('refuses to guide a distilled model, as the run does', async () => {
    const model = otherFlux2('single-only');
    const image = { width: 64, height: 64 };
    const unguided = { ...config.algorithm, guidance: 1, allowGuidedRollout: false };
    const asked = { ...config, model, image, algorithm: unguided };
    const why = /cannot be guided; draw and train it at guidance 1/;
    expect(await failure(ConfigError, plan({ ...asked, samples: { guidance: 2 } }))).toMatch(why);
    const guided = { ...unguided, guidance: 2, allowGuidedRollout: true };
    expect(await failure(ConfigError, plan({ ...asked, algorithm: guided }))).toMatch(why);
  });

  it("counts the operations that PyTorch's FlopCounterMode counts of diffusers' code", async () => {
    // One sample of Flux2Transformer2DModel and AutoencoderKLFlux2 from this directory, plain attention, 256 image and
    // 16 text tokens, the adapter's two products a layer; gradients go to the adapter or to the latents.
    const counted = {
      trained: { forward: 88_457_216, backward: 137_785_344 },
      pretrained: { forward: 84_209_664, backward: 131_334_144 },
      decoder: { forward: 153_452_544, backward: 220_561_408 },
    };
    const operations = async (checkpointing: boolean) => {
      const options = {
        device: 'cpu',
        dtype: 'float32',
        adapter: config.adapter!,
        size: config.image,
        checkpointing,
        textLength: config.textLength,
        prompts: config.prompts,
        negativePrompt: undefined,
      } as const;
      return ((await modelFootprint(tinyFlux2, options)) as ModelFootprint).operations;
    };
    expect(await operations(false)).toEqual(counted);
    expect((await operations(true)).trained).toEqual({ forward: 88_457_216, backward: 225_591_296 });
  });

  it('is what LibTorch gives out, on the tiny model', async () => {
    const large = { ...config, batch: 16, image: { width: 96, height: 96 } };
    const { iteration, metrics, plan: made } = await measure(large, join(folder, 'flux2'), 'given out');
    expect(Math.abs(iteration.working / planned(made).iteration.working - 1)).toBeLessThan(0.2);
    expect(made.evaluations.most).toEqual({
      forwards: metrics.forwards,
      vjps: metrics.vjps,
      backwards: metrics.backwards,
    });
  });

  it('is less with checkpointing', async () => {
    const training = async (changes: object) =>
      (await plan({ ...config, ...changes })).memory!.phases.find(({ name }) => name === 'training')!.bytes;
    expect(await training({ checkpointing: true })).toBeLessThan(0.8 * (await training({})));
  });
});
