// The configuration for a card of 24 GB, by the plan itself.
import { mkdtempSync, readFileSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

import { beforeAll, describe, expect, it, vi } from 'vitest';

import { refuseSmall } from '../../lib/jobs/plan/check.js';
import { needed, plan, type Plan } from '../../lib/jobs/plan/plan.js';
import { planTable } from '../../lib/jobs/plan/table.js';
import { binding } from '../../lib/runtime/native/index.js';

const read = (name: string) => JSON.parse(readFileSync(new URL(`../../configs/${name}`, import.meta.url), 'utf8'));
const [small, shipped] = [read('sd35-medium-24gb.json'), read('sd35-medium.json')];
const planned = (config: object): Promise<Plan> => plan(config as never, { like: 'sd3.5-medium' });
/** What all of it takes, in bytes, with CUDA's libraries. */
const bytesOf = async (config: object): Promise<number> => needed(await planned(config));
const phaseOf = ({ memory }: Plan, name: string) => memory!.phases.find((phase) => phase.name === name)!;

/** A module, which a plan does not load. */
function writeReward(): string {
  const file = join(mkdtempSync(join(tmpdir(), 'eam-24gb-')), 'reward.mjs');
  writeFileSync(file, 'export default () => {}');
  return file;
}

beforeAll(() => {
  // LibTorch may be in the user's own cache, and embeddings of these prompts, too.
  binding();
  vi.stubEnv('XDG_CACHE_HOME', mkdtempSync(join(tmpdir(), 'eam-24gb-')));
});

describe('configs/sd35-medium-24gb.json', () => {
  it('needs less than 22 GB on a GPU, in every phase', async () => {
    const found = await planned(small);
    expect(needed(found)).toBeLessThan(22e9);
    for (const phase of found.memory!.phases) {
      expect(needed({ ...found, memory: { ...found.memory!, peak: phase } }), phase.name).toBeLessThan(22e9);
    }
    expect(() => refuseSmall(found, { free: 22e9, total: 24e9 })).not.toThrow();
    expect(found.cards.find(({ name }) => name === 'RTX 4090')!.fits).toBe(true);
  });

  it('trains what configs/sd35-medium.json trains', () => {
    for (const key of ['model', 'dtype', 'image', 'adapter', 'rewards', 'optimizer', 'batch', 'steps', 'seed'])
      expect(small[key], key).toEqual(shipped[key]);
    const { decodeSlice: _, ...algorithm } = shipped.algorithm;
    expect(small.algorithm).toMatchObject(algorithm);
  });

  it('has room by slices of T5 and of images', async () => {
    const found = await planned(small);
    const whole = await planned({ ...small, textEncoders: 'whole' });
    const encoding = 'encoding prompts';
    // T5-XXL in bfloat16, but for its tokens and one of 24 blocks.
    const saved = phaseOf(whole, encoding).bytes - phaseOf(found, encoding).bytes;
    expect(saved / 1e9).toBeCloseTo((2 * (4_762_310_656 - 32_128 * 4096) * 23) / 24 / 1e9, 2);
    const all = await bytesOf({ ...small, algorithm: { ...small.algorithm, decodeSlice: 0 } });
    expect(all).toBeGreaterThan(24e9);
    const half = phaseOf(await planned({ ...small, decoder: 'bfloat16' }), 'decoding and scoring');
    expect(half.parts['decoder, kept for the gradient']).toBe(
      phaseOf(found, 'decoding and scoring').parts['decoder, kept for the gradient']! / 2,
    );
  });
});

describe('the plan of slices of images', () => {
  const { decodeSlice: _, ...algorithm } = shipped.algorithm;
  const without = { ...shipped, algorithm };
  const scoring = 'decoding and scoring';

  it('chooses the most that need no more memory than what takes most beside them', async () => {
    const found = await planned(without);
    const beside = found.memory!.phases.filter(({ name }) => name !== scoring && name !== 'encoding prompts');
    const others = Math.max(...beside.map(({ bytes }) => bytes));
    expect(found.decodeSlice).toBeGreaterThan(0);
    expect(phaseOf(found, scoring).bytes).toBeLessThanOrEqual(others);
    const twice = { ...algorithm, decodeSlice: 2 * found.decodeSlice! };
    expect(phaseOf(await planned({ ...without, algorithm: twice }), scoring).bytes).toBeGreaterThan(others);
    const told = await planned(shipped);
    const tiny = await planned({ ...without, image: { width: 64, height: 64 } });
    expect([found, told, tiny].map(({ decodeSlice }) => decodeSlice)).toEqual([1, 2, 0]);
    for (const [plan, text] of [
      [found, 'one image'],
      [told, '2 images'],
      [tiny, 'all images'],
    ] as const)
      expect(planTable(plan)).toContain(`  decoding and scoring: ${text} at a time\n`);
  });

  it('keeps all images for a reward that reads the whole batch, has values alone or is watched', async () => {
    const module = { name: 'module', file: writeReward() };
    const images = async (change: object) => {
      const rewards = [...shipped.rewards, { ...module, ...change }];
      return phaseOf(await planned({ ...shipped, rewards }), scoring).parts['images']!;
    };
    const image = 4 * 3 * 512 * 512;
    expect(await images({})).toBe(2 * 2 * image);
    for (const change of [{ wholeBatch: true }, { differentiable: false }, { weight: 0 }])
      expect(await images(change)).toBe((2 * 2 + 2 * 16) * image);
  });

  it('decodes again, and takes a second gradient back, for a reward that reads the whole batch', async () => {
    const module = { name: 'module', file: writeReward(), wholeBatch: true };
    const { operations: plain } = (await planned(shipped)).memory!;
    const { operations: both } = (await planned({ ...shipped, rewards: [...shipped.rewards, module] })).memory!;
    const { operations: whole } = (await planned({ ...shipped, rewards: [module] })).memory!;
    expect(both.decoding).toBe(plain.decoding);
    expect(whole.rewardGradient).toBe(plain.rewardGradient + plain.decoding);
    expect(both.rewardGradient).toBe(2 * plain.rewardGradient + plain.decoding);
  });
});
