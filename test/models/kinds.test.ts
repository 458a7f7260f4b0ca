// Networks by their kinds: what the native list offers and refuses, and that a new kind of model is one entry.
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

import { afterAll, describe, expect, it, vi } from 'vitest';
import { z } from 'zod';

import { ConfigError } from '../../lib/errors.js';
import { saveTensors } from '../../lib/files/safetensors.js';
import { plan } from '../../lib/jobs/plan/plan.js';
import { verify } from '../../lib/jobs/verify/verify.js';
import { modelKinds } from '../../lib/models/kinds.js';
import type { ModelKind } from '../../lib/models/model-kind.js';
import type { Model } from '../../lib/models/model.js';
import { drawingOf, loadModel, locateModel } from '../../lib/models/registry.js';
import { binding } from '../../lib/runtime/native/index.js';
import { Tensor } from '../../lib/runtime/native/tensor.js';
import { tinyConfig, tinyLora } from '../helpers/tiny-model.js';

const root = mkdtempSync(join(tmpdir(), 'eam-kinds-'));
afterAll(() => rmSync(root, { recursive: true }));

describe('native networks', () => {
  const parts = { config: tinyConfig, device: 'cpu' };

  it('are known by the names of their kinds', () => {
    expect(() => binding().newNetwork('nothing' as never, parts as never)).toThrow(
      /^newNetwork: kind: expected one of "digits", .*"blip-reward", got "nothing"$/,
    );
  });

  it.each([
    { part: 'an unknown part', parts: { ...parts, colour: 'red' }, message: /newNetwork: .*colour/ },
    { part: 'checkpointing', parts: { ...parts, checkpointing: true }, message: /digits: checkpointing: .*no use/ },
    { part: 'a device that is none', parts: { ...parts, device: 'tpu' }, message: /device.*tpu/ },
    { part: 'a misspelt size', parts: { ...parts, config: { ...tinyConfig, dept: 1 } }, message: /digits: dept/ },
    {
      part: 'a missing size',
      parts: { ...parts, config: { ...tinyConfig, depth: undefined } },
      message: /digits: depth/,
    },
    {
      part: 'a misspelt setting of the adapter',
      parts: { ...parts, lora: { ...tinyLora, rnk: 3 } },
      message: /digits: adapter\.rnk: unknown key; did you mean "rank"/,
    },
  ])('refuse $part', ({ parts: given, message }) => {
    expect(() => binding().newNetwork('digits', given as never)).toThrow(ConfigError);
    expect(() => binding().newNetwork('digits', given as never)).toThrow(message);
  });

  it('are made from files alone where they are of published models', () => {
    const tower = {
      width: 4,
      intermediate: 4,
      layers: 1,
      heads: 1,
      activation: 'gelu',
      layerNormEpsilon: 1e-5,
    } as const;
    const config = { ...tower, projection: 4, vocabulary: 3, positions: 3 };
    expect(() => binding().newNetwork('clip-text', { config, device: 'cpu' })).toThrow(
      /^clip-text: weights: expected the weights of its files, but it is missing$/,
    );
    expect(() => binding().newNetwork('clip-text', { config, device: 'cpu', seed: 1n })).toThrow(/clip-text: seed/);
  });

  it('tell the shapes of their tensors without having any', () => {
    const { tensors, adaptable } = binding().networkLayout('digits', tinyConfig);
    const network = binding().newNetwork('digits', { ...parts, seed: 1n });
    expect(tensors).toEqual(
      Object.fromEntries(Object.entries(network.weights()).map(([name, { shape }]) => [name, shape])),
    );
    // A network of 10^15 numbers would not fit.
    const huge = binding().networkLayout('digits', { ...tinyConfig, width: 2 ** 20, depth: 1, heads: 1 });
    expect(huge.tensors['blocks.0.attn.qkv.weight']).toEqual([3 * 2 ** 20, 2 ** 20]);
    expect(adaptable).toEqual(expect.arrayContaining(['patch_embed', 'blocks.0.attn.qkv', 'final.linear']));
    const lora = { ...tinyLora, targets: adaptable };
    expect(binding().newNetwork('digits', { ...parts, seed: 1n, lora }).trainableNames).toHaveLength(
      2 * adaptable.length,
    );
  });
});

describe('a new kind of model', () => {
  const directory = join(root, 'model');
  mkdirSync(directory);
  writeFileSync(join(directory, 'model_index.json'), JSON.stringify({ _class_name: 'CirclePipeline' }));
  const drawing = { steps: 3, solver: 'euler', guidance: 2 } as const;
  const stored = { directory, network: '.', weights: [], folders: [] };
  const kind: ModelKind = {
    recognises: { pipeline: 'CirclePipeline' },
    drawing,
    load: vi.fn(async () => ({ name: 'circle' }) as Model),
    files: vi.fn(async () => []),
    locate: vi.fn(async () => stored),
    verification: {
      check: vi.fn(async () => {}),
      verify: vi.fn(async function* () {
        yield { name: 'radius', error: 0, scale: 1, tolerance: 1 };
      }),
    },
    pretraining: {
      type: 'circle',
      model: z.strictObject({ type: z.literal('circle') }),
      settings: {},
      start: vi.fn(async () => {
        throw new Error('it is started');
      }),
    },
  };

  it('is found by loading, drawing, merging, planning, verifying and pretraining from one entry', async () => {
    (modelKinds as ModelKind[]).push(kind);
    try {
      expect((await loadModel(directory)).name).toBe('circle');
      expect(kind.load).toHaveBeenCalledWith(expect.objectContaining({ directory, source: directory }), {});
      expect(await drawingOf(directory)).toEqual(drawing);
      expect(await locateModel(directory)).toEqual(stored);
      const planned = await plan({
        model: directory,
        prompts: ['a circle'],
        rewards: [{ name: 'stroke-weight' }],
        algorithm: { name: 'eam' },
        optimizer: { learningRate: 1e-3 },
        steps: 1,
      });
      expect(planned.memory).toBeUndefined();
      await saveTensors(join(directory, 'goldens.safetensors'), { radius: Tensor.from([1], [1]) });
      const findings = [];
      for await (const finding of verify(directory)) findings.push(finding);
      expect(findings).toMatchObject([{ name: 'radius', error: 0 }]);
      expect(kind.verification!.check).toHaveBeenCalledWith(directory);
      vi.resetModules();
    } finally {
      (modelKinds as ModelKind[]).pop();
    }
  });

  it('is not known without its entry', async () => {
    await expect(loadModel(directory)).rejects.toThrow(
      /expected the pipeline StableDiffusion3Pipeline, Flux2KleinPipeline, got CirclePipeline/,
    );
  });
});
