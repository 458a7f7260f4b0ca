// Models whose velocity is written in TypeScript: how they are trained, what checkpoints hold, and the memory of it.
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

import { afterAll, beforeAll, describe, expect, it } from 'vitest';

import { defineModel, evaluate, ops, sampleImages, strokeWeight, Tensor, Trainer } from '../../lib/index.js';
import { binding } from '../../lib/runtime/native/index.js';
import { adjointMatching, eam } from '../../lib/training/algorithms.js';
import { definition, numbers, run, trainableOf, trainerOf } from '../helpers/defined-model.js';
import { peakOf } from '../helpers/executor.js';
import { numbersOf } from '../helpers/numbers.js';

let folder: string;
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'eam-defined-'));
});
afterAll(() => rm(folder, { recursive: true }));

const prompts = ['1', '2', '7'];

describe('training of a defined model', () => {
  it.each([
    { name: 'Efficient Adjoint Matching', algorithm: eam({ steps: 2, renoisings: 2 }) },
    { name: 'Efficient Adjoint Matching with guidance', algorithm: eam({ steps: 2, guidance: 2, guidedLoss: true }) },
    { name: 'Adjoint Matching', algorithm: adjointMatching({ steps: 4 }) },
  ])('goes by $name', async ({ algorithm }) => {
    using model = defineModel(definition());
    const before = await trainableOf(model);
    const trainer = new Trainer({
      model,
      reward: strokeWeight(),
      prompts,
      algorithm,
      optimizer: { learningRate: 0.01 },
      batch: 3,
    });
    const losses: number[] = [];
    for await (const { loss } of trainer.run({ steps: 2 })) losses.push(loss);
    expect(losses.every((loss) => loss > 0 && loss < Infinity)).toBe(true);
    expect(await trainableOf(model)).not.toEqual(before);
  });

  it('raises the reward, which evaluate measures', async () => {
    using model = defineModel(definition());
    const trainer = new Trainer({
      model,
      reward: strokeWeight(),
      prompts,
      algorithm: eam({ lambda: 10, steps: 3 }),
      optimizer: { learningRate: 0.02 },
      batch: 16,
    });
    await run(trainer, 20);
    const { before, after } = await evaluate(model, { reward: strokeWeight(), prompts, count: 32, seed: 3n });
    expect(after.reward.mean).toBeGreaterThan(before.reward.mean);
  });

  it.each([
    { what: 'all parameters', changes: {} },
    {
      what: 'LoRA of its own',
      changes: {
        adapter: { rank: 1, alpha: 2, targets: ['style'] },
        trainable: { 'style.lora_A.weight': numbers([1, 2], 1), 'style.lora_B.weight': numbers([3, 1], 2) },
        weights: { 'conv.weight': numbers([3, 1, 3, 3], 1), out: numbers([1, 3, 3, 3], 3) },
        velocity: (
          x: Tensor,
          _t: Tensor,
          c: readonly Tensor[],
          { parameters: p }: { parameters: Record<string, Tensor> },
        ) => {
          const low = ops.linear(c[1]!, p['style.lora_A.weight']!);
          const style = ops.mul(ops.linear(low, p['style.lora_B.weight']!), 2);
          const hidden = ops.conv2d(x, p['conv.weight']!, undefined, { padding: 1 });
          return ops.conv2d(ops.add(hidden, ops.reshape(style, [x.shape[0]!, 3, 1, 1])), p['out']!, undefined, {
            padding: 1,
          });
        },
      },
    },
  ])('goes on from a checkpoint of $what as if it had not stopped', async ({ what, changes }) => {
    const make = () => defineModel(definition(changes));
    using whole = make();
    await run(trainerOf(whole), 4);
    const directory = join(folder, what.replaceAll(' ', '-'));
    using first = make();
    await run(trainerOf(first, directory), 2);
    using second = make();
    const trainer = trainerOf(second, directory);
    await trainer.resume(join(directory, 'step-2'));
    await run(trainer, 4);
    expect(await trainableOf(second)).toEqual(await trainableOf(whole));
    // The checkpoint's weights are the averaged ones, and can be loaded for drawing.
    using third = make();
    await third.loadAdapter(join(directory, 'step-4'));
    const [drawn, averaged] = await Promise.all([
      sampleImages(third, { prompts, seed: 1n, steps: 2 }),
      trainer.sample({ prompts, seed: 1n, steps: 2 }),
    ]);
    expect(await numbersOf(drawn)).toEqual(await numbersOf(averaged));
  });

  it('refuses a checkpoint of a model that began with other numbers', async () => {
    const directory = join(folder, 'others');
    using model = defineModel(definition());
    await run(trainerOf(model, directory), 2);
    const { trainable } = definition();
    using other = defineModel(definition({ trainable: { ...trainable, 'out.bias': numbers([1], 5) } }));
    await expect(trainerOf(other, directory).resume(join(directory, 'step-2'))).rejects.toThrow(/another model/);
    // The numbers that it began with tell it, not those that it has come to.
    await expect(trainerOf(model, directory).resume(join(directory, 'step-2'))).resolves.toBeUndefined();
  });

  it('keeps no memory from step to step', async () => {
    using model = defineModel(definition());
    const trainer = trainerOf(model);
    const bytes: number[] = [];
    for await (const _ of trainer.run({ steps: 6 })) bytes.push(binding().tensorMemory().bytes);
    expect(new Set(bytes.slice(1)).size, String(bytes)).toBe(1);
  });

  it('frees what an evaluation computes on the way', async () => {
    const layers = 40;
    const size = 64 * 64;
    using model = defineModel({
      name: 'deep',
      latentShape: [1, 64, 64],
      trainable: { a: Tensor.from([2], []) },
      velocity: (x, _t, _c, { parameters }) => {
        let h = x;
        for (let layer = 0; layer < layers; layer++) h = ops.tanh(ops.mul(h, parameters['a']!));
        return h;
      },
    });
    const x = numbers([8, 1, 64, 64], 1);
    const times = new Float32Array(8).fill(0.5);
    const conditioning = await model.encode(Array<string>(8).fill(''));
    const peak = await peakOf(async () => (await model.native.velocity(x, times, conditioning, false)).dispose());
    expect(peak).toBeLessThan(5 * 8 * size * 4);
  });
});
