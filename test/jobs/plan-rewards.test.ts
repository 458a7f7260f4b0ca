// The memory that a plan gives to rewards, from the files in their folders.
import { copyFile, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';

import { describe, expect, it } from 'vitest';

import { plan } from '../helpers/jobs.js';
import { createRewards, type RewardConfig } from '../../lib/rewards/registry.js';
import { binding } from '../../lib/runtime/native/index.js';
import { disposeAll, loadTensors, readHeader, saveTensors } from '../../lib/files/safetensors.js';
import { copyOf, rewardDirectory } from '../helpers/reward-directories.js';
import { config, tiny, useEmptyCaches } from '../helpers/plan-config.js';

useEmptyCaches();

describe('the plan of rewards', () => {
  const rewardBytes = async (reward: object) =>
    (await plan({ ...config, rewards: [reward] })).memory!.rewards[0]!.bytes!;
  const numbersIn = async (path: string, wanted = (_: string) => true) =>
    (await readHeader(path)).entries.reduce(
      (sum, { name, dtype, shape }) => sum + (wanted(name) && dtype !== 'int64' ? shape.reduce((a, b) => a * b, 1) : 0),
      0,
    );

  it('counts numbers in the dtype that they are loaded in, and no other file of the folder', async () => {
    const directory = copyOf('pickscore');
    const file = join(directory, 'model.safetensors');
    const numbers = await numbersIn(file);
    await copyFile(file, join(directory, 'another.safetensors'));
    for (const stored of ['float32', 'float16'] as const) {
      if (stored === 'float16') {
        const tensors = await loadTensors(file);
        const halves = Object.fromEntries(
          await Promise.all(
            Object.entries(tensors).map(
              async ([name, tensor]) =>
                [name, await tensor.to(tensor.dtype === 'float32' ? { dtype: stored } : {})] as const,
            ),
          ),
        );
        disposeAll(tensors);
        await rm(file);
        await saveTensors(file, halves);
        disposeAll(halves);
      }
      expect(await rewardBytes({ name: 'pickscore', directory })).toBe(4 * numbers);
      expect(await rewardBytes({ name: 'pickscore', directory, dtype: 'bfloat16' })).toBe(2 * numbers);
    }
  });

  it('counts the image tower of the aesthetic predictor, and its head in float32', async () => {
    const [directory, tower] = [rewardDirectory('aesthetic'), rewardDirectory('clipscore')];
    const image = await numbersIn(
      join(tower, 'model.safetensors'),
      (name) => name.startsWith('vision_model.') || name.startsWith('visual_projection.'),
    );
    const head = 10_901;
    expect(await rewardBytes({ name: 'aesthetic', directory, tower })).toBe(4 * image + head);
    expect(await rewardBytes({ name: 'aesthetic', directory, tower, dtype: 'float16' })).toBe(2 * image + head);
  });

  it.each(['hpsv2', 'imagereward'] as const)(
    "takes from %s's file of torch.save which dtype its numbers have",
    async (name) => {
      const directory = copyOf(name);
      const file = join(directory, name === 'hpsv2' ? 'HPS_v2.1_compressed.pt' : 'ImageReward.pt');
      const tensors = await binding().readTorchFile(file);
      const numbers = Object.values(tensors).reduce(
        (sum, { dtype, shape }) => sum + (dtype === 'int64' ? 0 : shape.reduce((a, b) => a * b, 1)),
        0,
      );
      disposeAll(tensors);
      // The little that is not numbers is much of a tiny file.
      expect((await rewardBytes({ name, directory })) / (4 * numbers)).toBeCloseTo(1, 0);
      expect(await rewardBytes({ name, directory, dtype: 'bfloat16' })).toBe(
        (await rewardBytes({ name, directory })) / 2,
      );
      const bytes = Buffer.alloc(3_000_000, 1);
      for (const [storages, factor] of [
        [['Half'], 2],
        [['BFloat16'], 2],
        [['Double'], 0.5],
        [['Long', 'Float', 'Half'], 2],
        [[], 1],
      ] as const) {
        await writeFile(
          file,
          Buffer.concat([
            Buffer.from(
              storages
                .map((storage) => `ctorch\n${storage}Storage\n`)
                .join('')
                .padEnd(100),
            ),
            bytes,
          ]),
        );
        expect(await rewardBytes({ name, directory })).toBe(3_000_100 * factor);
      }
    },
  );

  it.each([
    { name: 'pickscore', directory: 'nowhere' },
    { name: 'clipscore', directory: tiny },
    { name: 'hpsv2', directory: 'nowhere' },
    { name: 'imagereward', directory: rewardDirectory('aesthetic') },
    { name: 'aesthetic', directory: rewardDirectory('hpsv2'), tower: rewardDirectory('clipscore') },
    { name: 'aesthetic', directory: rewardDirectory('aesthetic'), tower: 'nowhere' },
    { name: 'aesthetic', directory: rewardDirectory('aesthetic') },
    { name: 'torchscript', file: 'nowhere.pt' },
    { name: 'module', file: 'nowhere.mjs' },
  ])('refuses missing files as fine-tuning does: %j', async (reward) => {
    const loading = (await createRewards([{ weight: 1, options: {}, ...reward } as RewardConfig], 'cpu').catch(
      (error: unknown) => error,
    )) as Error & { code: string };
    const planning = (await plan({ ...config, rewards: [reward] }).catch((error: unknown) => error)) as Error & {
      code: string;
    };
    expect(planning.code).toBe(loading.code);
    expect(planning.message).toMatch(/nowhere|expected/);
  });
});
