// `eam plan` for who is about to rent a GPU: a model that is not there yet, known cards, and the disk.
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

import { afterAll, beforeAll, describe, expect, it, vi } from 'vitest';

import { CheckpointError, ConfigError } from '../../lib/errors.js';
import { diskUse, refuseFull } from '../../lib/jobs/plan/disk.js';
import { plan } from '../../lib/jobs/plan/plan.js';
import { shippedPlan } from '../../lib/jobs/plan/shipped.js';
import { planTable } from '../../lib/jobs/plan/table.js';
import { publishedModels } from '../../lib/models/registry.js';
import { parametersOf } from '../../lib/models/pipeline/layers.js';
import { publishedNames, publishedSd3 } from '../../lib/models/sd3/published.js';
import { binding } from '../../lib/runtime/native/index.js';
import { eam } from '../helpers/command-line.js';

const medium = JSON.parse(readFileSync(new URL('../../configs/sd35-medium.json', import.meta.url), 'utf8'));
const nowhere = { ...medium, model: '/nowhere', rewards: [{ ...medium.rewards[0], directory: '/nowhere' }] };
/** The rollout was guided and the decoder in float32 when an H100 was measured. */
const measuredSettings = {
  ...nowhere,
  decoder: 'float32',
  algorithm: { ...medium.algorithm, guidance: 4.5, allowGuidedRollout: true },
};
let folder: string;
beforeAll(() => {
  folder = mkdtempSync(join(tmpdir(), 'eam-rented-'));
  // LibTorch may be in the user's own cache.
  binding();
  vi.stubEnv('XDG_CACHE_HOME', folder);
});
afterAll(() => {
  vi.unstubAllEnvs();
  rmSync(folder, { recursive: true });
});

describe('the plan of a published model that is not there', () => {
  it("has the numbers of the model's files", async () => {
    const { memory } = await plan(measuredSettings, { like: 'sd3.5-medium' });
    const numbers = Object.fromEntries(
      [...memory!.networks, ...memory!.encoders].map(({ name, parameters }) => [name, parameters]),
    );
    expect(numbers).toEqual({
      transformer: 2_469_663_936,
      autoencoder: 83_819_683,
      'text encoder (CLIP-L)': 123_650_304,
      'text encoder (CLIP-G)': 694_659_840,
      'text encoder (T5)': 4_762_310_656,
    });
    expect(memory!.rewards).toEqual([{ name: 'pickscore', bytes: 986e6 * 2 }]);
    // 18.1 GB without a reward's weights were measured on an H100 (docs/performance.md), all images in memory then.
    expect((memory!.peak.bytes - 986e6 * 2) / 1e9).toBeCloseTo(18.2, 1);
  });

  it.each(publishedModels)('knows %s', async (like) => {
    expect((await plan(nowhere, { like })).memory!.networks[0]!.parameters).toBeGreaterThan(2e9);
  });

  it.each(publishedNames)('has the numbers of the native networks for %s', (name) => {
    const { directory, parameters, transformerLayers } = publishedSd3(name);
    const layout = <Kind extends 'sd3' | 'autoencoder-kl' | 'clip-text' | 't5-encoder'>(kind: Kind, config: never) =>
      Object.entries(binding().networkLayout(kind, config).tensors).map(([each, shape]) => ({ name: each, shape }));
    const transformer = layout('sd3', directory.transformer.config as never);
    expect({
      transformer: parametersOf(transformer),
      autoencoder: parametersOf(layout('autoencoder-kl', directory.autoencoder.config as never)),
      clipL: parametersOf(layout('clip-text', directory.clip[0].config as never)),
      clipG: parametersOf(layout('clip-text', directory.clip[1].config as never)),
      t5: parametersOf(layout('t5-encoder', directory.t5!.config as never)),
    }).toEqual(parameters);
    const byName = (tensors: { name: string; shape: readonly number[] }[]) =>
      Object.fromEntries(tensors.map((tensor) => [tensor.name, tensor.shape]));
    const matrices = transformer.filter((tensor) => tensor.shape.length === 2 && tensor.name.endsWith('.weight'));
    expect(byName(transformerLayers)).toEqual(byName(matrices));
  });

  it.each(publishedModels)(
    'of %s has a shipped configuration, which the command takes where none is named',
    async (like) => {
      const path = shippedPlan(like);
      const { code, stdout, stderr } = await eam('plan', '--like', like);
      expect([code, stderr]).toEqual([0, `for ${path}\n`]);
      expect(stdout).toMatch(/H100 SXM .*\n[\s\S]*Needed on cuda/);
      await expect(eam('plan')).resolves.toMatchObject({
        code: 2,
        stderr: expect.stringContaining('plan: expected a conf'),
      });
    },
  );

  it('is for a GPU where the device is auto, and says how where it is the CPU', async () => {
    const path = join(folder, 'auto.json');
    writeFileSync(path, JSON.stringify({ ...nowhere, device: 'auto' }));
    expect((await eam('plan', path, '--like', 'sd3.5-medium')).stdout).toMatch(/H100 SXM/);
    const { stdout } = await eam('plan', path, '--like', 'sd3.5-medium', '--device', 'cpu', '--memory', '80');
    expect(stdout).toMatch(/Needed on cpu: .*; --device cuda plans for a GPU$/m);
  });

  it('knows no other model, and needs the directory without the option', async () => {
    await expect(plan(nowhere, { like: 'sd9' })).rejects.toThrow(ConfigError);
    await expect(plan(nowhere, { like: 'sd9' })).rejects.toThrow(
      'like: expected one of "sd3-medium", "sd3.5-medium", ',
    );
    await expect(plan(nowhere)).rejects.toThrow(CheckpointError);
    await expect(plan(nowhere)).rejects.toThrow('; --like NAME plans for a published model without its files, of sd3');
  });
});

describe('the planned time', () => {
  it('is what was measured on the card that was measured, at its settings', async () => {
    const planned = await plan(measuredSettings, { like: 'sd3.5-medium' });
    const [first, ...others] = planned.cards;
    expect(first).toMatchObject({ name: 'H100 SXM', measured: true, fits: true });
    // The gradient's 3.36 s were those of 81.03 TFLOP, of which 40.24 decoded a second time.
    const seconds = 5.03 + 1.47 + (3.36 * (81.03 - 40.24)) / 81.03 + 1.51;
    expect(first!.seconds).toBeCloseTo(seconds, 2);
    // 500 steps, and 11 grids of 12 and twice 64 images, each of 56 evaluations.
    expect(first!.hours).toBeCloseTo((500 * seconds + 260 * ((56 * 5.03) / 528 + 1.47 / 16)) / 3600, 1);
    expect(others.every(({ measured }) => !measured)).toBe(true);
    expect(planTable(planned)).toMatch(/H100 SXM +9\.70 +1\.\d+ +measured rates$/m);
    const other = (like: string, settings: object) => plan({ ...measuredSettings, ...settings }, { like });
    for (const { cards } of [await other('sd3.5-large', {}), await other('sd3.5-medium', { dtype: 'float32' })])
      expect(cards.some(({ measured }) => measured)).toBe(false);
  });

  it('is shorter with a decoder in TF32 or bfloat16, which nobody has measured', async () => {
    const of = async (decoder: string) => {
      const { cards, memory } = await plan({ ...measuredSettings, decoder }, { like: 'sd3.5-medium' });
      const { rollout, matching } = memory!.operations;
      const others = (rollout * 5.03) / 1302.8e12 + (matching * 1.51) / 247.1e12;
      return { measured: cards[0]!.measured, decoding: cards[0]!.seconds - others };
    };
    const [single, tf32, half] = [await of('float32'), await of('tf32'), await of('bfloat16')];
    expect([single.measured, tf32.measured, half.measured]).toEqual([true, false, false]);
    expect(single.decoding / tf32.decoding).toBeCloseTo(215 / 45, 1);
    expect(single.decoding / half.decoding).toBeCloseTo(215 / 35, 1);
  });

  it('is longer on slower cards, and says that a card is too small', async () => {
    const { cards } = await plan(
      { ...nowhere, batch: 16, algorithm: { ...medium.algorithm, decodeSlice: 0 } },
      { like: 'sd3.5-medium' },
    );
    const of = (name: string) => cards.find((card) => card.name === name)!;
    expect(of('A100').seconds).toBeGreaterThan(2 * of('H100 SXM').seconds);
    expect(of('RTX 4090').fits).toBe(false);
    expect(of('RTX 4090').seconds).toBeGreaterThan(of('L40S').seconds);
  });

  it('is left out for a CPU', async () => {
    expect((await plan({ ...nowhere, device: 'cpu' }, { like: 'sd3.5-medium' })).cards).toEqual([]);
  });
});

describe('the planned disk space', () => {
  it('holds the embeddings of every prompt, and the checkpoints', async () => {
    const prompts = Array.from({ length: 20_000 }, (_, number) => `prompt ${number}`);
    const { disk } = await plan({ ...nowhere, prompts }, { like: 'sd3.5-medium' });
    const [embeddings, checkpoints] = disk;
    expect(embeddings).toMatchObject({ name: 'text embeddings', folder: join(folder, 'eam-torch', 'text-embeddings') });
    expect(embeddings!.bytes / 1e9).toBeCloseTo(54.7, 1);
    expect(checkpoints!.bytes / 1e9).toBeCloseTo((3 * 20 * 18_776_064) / 1e9, 1);
    expect(checkpoints!.free).toBeGreaterThan(0);
  });

  it('holds endpoints of the pretrained model, as many as each prompt wants', async () => {
    const algorithm = { ...medium.algorithm, endpoints: 'pretrained', endpointsPerPrompt: 64 };
    const settings = { ...nowhere, prompts: ['a fox', 'a hill', 'a fox'], algorithm };
    const planned = await plan(settings, { like: 'sd3.5-medium' });
    const { disk, evaluations, memory } = planned;
    // Two prompts; three tensors of 16 × 64 × 64.
    const endpoints = {
      name: 'endpoints',
      folder: join(folder, 'eam-torch', 'endpoints'),
      bytes: 2 * 64 * 3 * 2 ** 18,
    };
    expect(disk[1]).toMatchObject(endpoints);
    expect(evaluations.most).toMatchObject({ forwards: evaluations.most.backwards, vjps: 0 });
    expect(planned.endpoints?.count).toBe(128);
    expect(planned.endpoints!.forwards % 128).toBe(0);
    expect(memory!.operations).toMatchObject({ rollout: 0, decoding: 0, rewardGradient: 0 });
    expect(planTable(planned)).toMatch(/Before the first step, 128 endpoints .*\n +forwards +\d+\n/);
  });

  it('is refused where the disk has too little room for all that goes to it', async () => {
    const uses = [
      { name: 'text embeddings', folder: '/a', bytes: 6e9, free: 1e10, disk: 1 },
      { name: 'checkpoints', folder: '/b', bytes: 5e9, free: 1e10 + 4096, disk: 1 },
    ];
    expect(() => refuseFull(uses)).toThrow(
      /expected room for 10\.24 GiB, text embeddings of 5\.59 GiB in \/a and checkpoints/,
    );
    expect(() => refuseFull([uses[0]!, { ...uses[1]!, disk: 2 }])).not.toThrow();
  });

  it('is looked for in the nearest folder that is there', async () => {
    const files = {
      prompts: { missing: 1, bytes: 1000, folder: join(folder, 'not', 'yet') },
      endpoints: { count: 0, bytes: 0, folder: undefined },
      checkpoints: { trainable: 10, averaged: false, keep: 1, folder: join(folder, 'neither') },
    };
    const [embeddings, checkpoints] = await diskUse(files);
    expect(embeddings!.disk).toBe(checkpoints!.disk);
    expect(embeddings!.free).toBeGreaterThan(0);
    expect(embeddings!.bytes).toBe(1000 + 4096);
  });
});
