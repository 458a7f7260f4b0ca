// A comparison that goes on: finished runs are taken over where they were made with the same, wherever that lies now.
import { cpSync, readFileSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';

import { beforeAll, describe, expect, it } from 'vitest';

import { commonBelongings } from '../../lib/jobs/compare/finished.js';
import { loadModel } from '../../lib/models/registry.js';
import { createJudge } from '../../lib/rewards/registry.js';
import { strokeWeight } from '../../lib/rewards/stroke-weight.js';
import { shippedDirectory } from '../../lib/runtime/package.js';
import { eam } from '../helpers/command-line.js';
import { temporaryFolder, tinyAdapter, tinyModelDirectory } from '../helpers/tiny-run.js';

/** Other bytes in the place of a file, of which another file takes the name. */
function change(path: string): void {
  const bytes = readFileSync(path);
  bytes[bytes.length - 1]! ^= 0x10;
  writeFileSync(`${path}.new`, path.endsWith('.mjs') ? `${readFileSync(path, 'utf8')}\n// v2` : bytes);
  renameSync(`${path}.new`, path);
}

let finished: string;
beforeAll(async () => {
  finished = temporaryFolder();
  cpSync(await tinyModelDirectory(), join(finished, 'model'), { recursive: true });
  writeFileSync(
    join(finished, 'dark.mjs'),
    'export default ({ data }, prompts) => ({ values: prompts.map(() => 0), grad: new Float32Array(data.length) });',
  );
  const algorithm = { name: 'eam', solver: 'euler', steps: 1, renoisings: 1, delta: 0.3 };
  const config = {
    model: join(finished, 'model'),
    adapter: tinyAdapter,
    prompts: ['0', '1'],
    rewards: [{ name: 'module', file: join(finished, 'dark.mjs') }],
    contenders: [
      { name: 'swept', algorithm },
      { name: 'given', algorithm: { ...algorithm, renoisings: 2 }, learningRate: 1e-3 },
    ],
    batch: 2,
    budget: { steps: 1 },
    seeds: [1],
    sweep: { learningRates: [1e-3], budget: { steps: 1 } },
    tracking: { points: 1, count: 2, steps: 1 },
    evaluation: { count: 2, steps: 1 },
    samples: { count: 2, columns: 2, steps: 1 },
    output: join(finished, 'out'),
  };
  writeFileSync(join(finished, 'config.json'), JSON.stringify(config));
  expect(await eam('compare', join(finished, 'config.json'), '--quiet')).toMatchObject({ code: 0, stderr: '' });
});

/** The finished comparison with its model and its reward, moved together to a folder of its own. */
function moved(): string {
  const folder = join(temporaryFolder(), 'project');
  cpSync(finished, folder, { recursive: true });
  const path = join(folder, 'out', 'config.json');
  writeFileSync(path, readFileSync(path, 'utf8').replaceAll(finished, folder));
  return folder;
}
const resume = (folder: string, ...flags: string[]) => eam('compare', join(folder, 'out'), '--resume', ...flags);

describe('eam compare --resume', () => {
  it('takes over what was made with the same, though it lies elsewhere now', async () => {
    const { code, stderr } = await resume(moved());
    expect([code, stderr.match(/: finished before$/gm)?.length]).toEqual([0, 3]);
  });

  it.each([
    {
      what: 'model',
      words: 'another model',
      change: (folder: string) => change(join(folder, 'model', 'model.safetensors')),
    },
    { what: 'rewards', words: 'other rewards', change: (folder: string) => change(join(folder, 'dark.mjs')) },
    { what: 'rewards', words: 'other rewards', set: 'rewards.0.weight=2' },
    { what: 'algorithm', words: 'another algorithm', set: 'contenders.1.algorithm.C=1.5' },
    { what: 'algorithm', words: 'another algorithm', set: 'contenders.0.algorithm.renoisings=3' },
    { what: 'data', words: 'other prompts', set: 'prompts=["1","0"]' },
  ])('refuses runs of another $what ($set) by name, and leaves all as it was', async ({ what, words, change, set }) => {
    const folder = moved();
    change?.(folder);
    const flags = set ? ['--set', set] : [];
    const record = readFileSync(join(folder, 'out', 'config.json'), 'utf8');
    rmSync(join(folder, 'out', 'compare.json'));
    const refused = await resume(folder, '--quiet', ...flags);
    expect([refused.code, refused.stderr]).toEqual([
      1,
      expect.stringMatching(
        new RegExp(`^error: .*result\\.json was written by a run with ${words}.*: take the same, .* --allow ${what} `),
      ),
    ]);
    expect(readFileSync(join(folder, 'out', 'config.json'), 'utf8')).toBe(record);
    const taken = await resume(folder, ...flags, '--allow', what);
    expect([taken.code, taken.stderr.match(/: finished before$/gm)?.length]).toEqual([0, 3]);
  });

  it('allows nothing beside what is named', async () => {
    const folder = moved();
    change(join(folder, 'dark.mjs'));
    const { code, stderr } = await resume(folder, '--quiet', '--allow', 'model', '--set', 'prompts=["1"]');
    expect([code, stderr]).toEqual([1, expect.stringContaining('--allow rewards --allow data')]);
  });
});

describe('what the runs of a comparison belong to', () => {
  it('covers the files of its judge', async () => {
    const directory = join(temporaryFolder(), 'judge');
    cpSync(shippedDirectory('digit-judge'), directory, { recursive: true });
    using model = await loadModel(join(finished, 'model'));
    const config = { prompts: ['0'] } as Parameters<typeof commonBelongings>[0]['config'];
    const rewards = async (judged: boolean) => {
      const judge = judged ? createJudge({ name: 'digit-judge', directory }, 'cpu') : undefined;
      return (await commonBelongings({ config, reward: strokeWeight(), judge }, model)).rewards;
    };
    const [without, before] = [await rewards(false), await rewards(true)];
    expect(await rewards(true)).toBe(before);
    change(join(directory, 'model.safetensors'));
    expect(new Set([without, before, await rewards(true)]).size).toBe(3);
  });
});
