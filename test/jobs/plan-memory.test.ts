// The memory of a plan, phase by phase, against what LibTorch gives out, and what makes it smaller.
import { join } from 'node:path';

import { describe, expect, it } from 'vitest';

import { loadModel } from '../../lib/models/registry.js';
import { refuseSmall } from '../../lib/jobs/plan/check.js';
import type { Plan } from '../../lib/jobs/plan/plan.js';
import { plan } from '../helpers/jobs.js';
import { eam } from '../helpers/command-line.js';
import { measure, planned } from '../helpers/plan-measurement.js';
import { fixture } from '../helpers/published.js';
import { config, folder, tiny, useEmptyCaches, written } from '../helpers/plan-config.js';

useEmptyCaches();

describe('the planned memory', () => {
  // What is resident of a process, of the half-size model, too: test/measured/plan.check.ts.
  it('is what LibTorch gives out, on the tiny model', async () => {
    const large = { ...config, batch: 16, image: { width: 96, height: 96 } };
    const { iteration, metrics, plan: made } = await measure(large, join(folder, 'iteration'), 'given out');
    expect(Math.abs(iteration.working / planned(made).iteration.working - 1)).toBeLessThan(0.2);
    // What else there is takes less than scoring, so that the largest phase is that of slices.
    const algorithm = { ...config.algorithm, microBatch: 2, decodeSlice: 2 };
    const sliced = await measure({ ...large, algorithm, checkpointing: true }, join(folder, 'slices'), 'given out');
    expect(Math.abs(sliced.iteration.working / planned(sliced.plan).iteration.working - 1)).toBeLessThan(0.2);
    const samples = { count: 64, steps: 2, batch: 64, solver: 'euler', guidance: 3 };
    const drawn = await measure({ ...large, samples }, join(folder, 'drawing'), 'given out');
    expect(Math.abs(drawn.drawing.working / planned(drawn.plan).drawing.working - 1)).toBeLessThan(0.25);
    expect(made.evaluations.most).toEqual({
      forwards: metrics.forwards,
      vjps: metrics.vjps,
      backwards: metrics.backwards,
    });
  });

  it('is less with checkpointing, micro-batches, slices and small numbers', async () => {
    const peak = async (changes: object, phase: string) =>
      (await plan({ ...config, ...changes })).memory!.phases.find(({ name }) => name === phase)!.bytes;
    const training = await peak({}, 'training');
    expect(await peak({ checkpointing: true }, 'training')).toBeLessThan(0.8 * training);
    expect(await peak({ algorithm: { ...config.algorithm, microBatch: 2 } }, 'training')).toBeLessThan(0.3 * training);
    expect(await peak({ dtype: 'bfloat16' }, 'training')).toBeLessThan(0.6 * training);
    expect(await peak({ algorithm: { ...config.algorithm, guidedLoss: true } }, 'training')).toBeGreaterThan(
      1.7 * training,
    );
    const scoring = await peak({}, 'decoding and scoring');
    expect(await peak({ algorithm: { ...config.algorithm, decodeSlice: 1 } }, 'decoding and scoring')).toBeLessThan(
      0.5 * scoring,
    );
    expect(
      await peak({ rewards: [{ name: 'pickscore', directory: fixture('rewards-tiny/pickscore') }] }, 'training'),
    ).toBeGreaterThan(training);
  });
});

/** Bytes of a phase, NaN where it is left out. */
const bytesOf = ({ memory }: Plan, name: string): number =>
  memory!.phases.find((phase) => phase.name === name)?.bytes ?? NaN;

describe('the plan of encoding prompts', () => {
  const encoded = async (prompts: string[], negativePrompt: string) => {
    using model = await loadModel(tiny, { size: config.image, textLength: config.textLength });
    await model.prepare(prompts, { negativePrompt });
  };

  it('is left out where the cache has every prompt of the same dtype, device and length', async () => {
    const settings = { ...config, negativePrompt: 'grey' };
    const before = await plan(settings);
    expect(before.memory!.prompts).toEqual({ count: 3, missing: 3 });
    await encoded(config.prompts, '');
    expect((await plan(settings)).memory!.prompts).toEqual({ count: 3, missing: 1 });
    expect((await eam('plan', await written({ negativePrompt: 'grey' }))).stdout).toMatch(
      /^ {2}2 of 3 prompts are in the cache already\n {2}encoding prompts +\d/m,
    );
    await encoded(config.prompts, 'grey');
    const after = await plan(settings);
    expect(after.memory!.prompts).toEqual({ count: 3, missing: 0 });
    expect(after.memory!.phases.map(({ name }) => name)).toEqual(
      before.memory!.phases.slice(1).map(({ name }) => name),
    );
    const { code, stdout } = await eam('plan', await written({ negativePrompt: 'grey' }));
    expect([code, stdout]).toEqual([
      0,
      expect.stringMatching(/^ {2}encoding prompts: left out, the embeddings of all 3 are in the cache$/m),
    ]);
    for (const change of [
      { dtype: 'bfloat16' },
      { device: 'cuda' },
      { textLength: 17 },
      { prompts: ['a fox', 'a bear'] },
    ]) {
      expect(bytesOf(await plan({ ...settings, ...change }), 'encoding prompts')).toBeGreaterThan(0);
    }
  });

  it('counts the activations of the prompts that are missing, at most 16 at a time', async () => {
    const activations = async (count: number) => {
      const prompts = Array.from({ length: count }, (_, index) => `${index} foxes`);
      return (await plan({ ...config, prompts })).memory!.phases[0]!.parts['activations']!;
    };
    const one = (await activations(1)) / 2;
    expect(await activations(9)).toBe(10 * one);
    expect([await activations(15), await activations(40)]).toEqual([16 * one, 16 * one]);
  });

  it('counts the networks on a GPU, and on the CPU not yet in memory where their files are mapped', async () => {
    const networks = async (changes: object) =>
      (await plan({ ...config, ...changes })).memory!.phases[0]!.parts['networks'] ?? 0;
    const {
      networks: [transformer, autoencoder],
    } = (await plan(config)).memory! as { networks: { bytes: number }[] };
    expect(await networks({})).toBe(0);
    expect(await networks({ device: 'cuda' })).toBe(transformer!.bytes + autoencoder!.bytes);
    expect(await networks({ dtype: 'bfloat16' })).toBe(transformer!.bytes / 2);
  });
});

describe('the plan of drawing samples', () => {
  it('holds a batch of images on a GPU, all of them on the CPU', async () => {
    const images = async (count: number, device: string) =>
      (
        await plan({ ...config, device, panel: { every: 0 }, samples: { ...config.samples, count } })
      ).memory!.phases.find(({ name }) => name === 'drawing samples')!.parts['images']!;
    const image = 4 * 3 * 64 * 64;
    expect([await images(8, 'cuda'), await images(100, 'cuda')]).toEqual([8 * image, 8 * image]);
    expect([await images(8, 'cpu'), await images(100, 'cpu')]).toEqual([16 * image, 108 * image]);
  });
});

describe('the plan for a device that is too small', () => {
  const advice = async (changes: object, name: string) => {
    const made = await plan({ ...config, ...changes });
    const { memory } = made;
    const peak = memory!.phases.find((phase) => phase.name === name)!;
    try {
      refuseSmall({ ...made, memory: { ...memory!, peak } }, { free: 1, total: 1 });
      return 'nothing';
    } catch (error) {
      return /most of it while (.*), and .*Less is needed there with (.*)\. `eam plan`/
        .exec((error as Error).message)!
        .slice(1)
        .join(': ');
    }
  };

  it('says what makes the largest phase smaller and is not set already', async () => {
    expect(await advice({}, 'encoding prompts')).toBe(
      'encoding prompts: text embeddings in the cache: where another machine has encoded these prompts, encoders ' +
        'are not loaded (docs/stable-diffusion.md); dtype bfloat16',
    );
    expect(await advice({ dtype: 'bfloat16' }, 'training')).toBe(
      'training: checkpointing; algorithm.microBatch; a smaller image; a smaller batch',
    );
    const { algorithm } = config;
    const small = {
      dtype: 'float16',
      checkpointing: true,
      algorithm: { ...algorithm, microBatch: 4, decodeSlice: 1 },
      optimizer: { learningRate: 1e-3, emaDecay: 0.9 },
    };
    expect(await advice(small, 'training')).toBe(
      'training: a smaller algorithm.microBatch; a smaller image; a smaller batch; optimizer.emaDecay 0',
    );
    expect(await advice(small, 'decoding and scoring')).toBe(
      'decoding and scoring: a smaller image; a smaller batch; optimizer.emaDecay 0',
    );
    const rewards = [{ name: 'pickscore', directory: fixture('rewards-tiny/pickscore') }];
    expect(await advice({ ...small, panel: { every: 0 }, rewards }, 'drawing samples')).toBe(
      'drawing samples: a smaller samples.batch; adapter.fold false; a smaller image; dtype bfloat16 of the rewards; ' +
        'optimizer.emaDecay 0',
    );
    expect(await advice(small, 'rolling out')).toBe(
      'rolling out: algorithm.rolloutBatch; adapter.fold false; a smaller algorithm.microBatch; a smaller image; ' +
        'a smaller batch; optimizer.emaDecay 0',
    );
  });
});
