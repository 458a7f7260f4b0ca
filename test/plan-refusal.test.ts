// A job refuses a GPU that is too small before it loads anything; no GPU is needed to be refused.

import { mkdtemp, readdir, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

import { expect, it, vi } from 'vitest';

import { OutOfMemoryError } from '../lib/errors.js';
import { finetune } from '../lib/finetune.js';
import { loadConfiguredModel } from '../lib/config/model.js';
import { createRewards } from '../lib/rewards/registry.js';
import { fixture } from './helpers/published.js';

vi.mock('../lib/plan/device-memory.js', () => ({ deviceMemory: async () => ({ free: 5 * 2 ** 20, total: 6 * 2 ** 20 }) }));
vi.mock(import('../lib/config/model.js'), async (original) => ({ ...(await original()), loadConfiguredModel: vi.fn() }));
vi.mock(import('../lib/rewards/registry.js'), async (original) => ({ ...(await original()), createRewards: vi.fn() }));

it('refuses a GPU that is too small, with the numbers, before model, rewards or run directory', async () => {
  const folder = await mkdtemp(join(tmpdir(), 'eam-refusal-'));
  try {
    const started = finetune({
      model: fixture('sd35-tiny'), device: 'cuda', prompts: ['a fox'], rewards: [{ name: 'stroke-weight' }], algorithm: { name: 'eam' },
      optimizer: { learningRate: 1e-3 }, image: { width: 64, height: 64 }, steps: 1, batch: 8, output: join(folder, 'run'),
    });
    await expect(started).rejects.toThrow(OutOfMemoryError);
    await expect(started).rejects.toThrow(/^cuda is too small: the plan needs .+ MiB, most of it while .+, and 5\.0 MiB of 6\.0 MiB are free/);
    expect(loadConfiguredModel).not.toHaveBeenCalled();
    expect(createRewards).not.toHaveBeenCalled();
    expect(await readdir(folder)).toEqual([]);
  } finally {
    await rm(folder, { recursive: true, force: true });
  }
});
