// What tells a reward from another, however it was made: its files and its settings, not where they are.
import { appendFileSync, cpSync, readFileSync, renameSync, writeFileSync } from 'node:fs';
import { basename, join } from 'node:path';
import { fileURLToPath } from 'node:url';

import { describe, expect, it, vi } from 'vitest';

import { combine } from '../../lib/rewards/combine.js';
import { digitClassifier } from '../../lib/rewards/digit-classifier/digit-classifier.js';
import { fromFunction } from '../../lib/rewards/from-function.js';
import { refuseChangedReward, rewardIdentity } from '../../lib/rewards/identity.js';
import { moduleReward } from '../../lib/rewards/module.js';
import { aesthetic } from '../../lib/rewards/published/aesthetic.js';
import { clipScore } from '../../lib/rewards/published/clip-score.js';
import { hpsv2 } from '../../lib/rewards/published/hps.js';
import { imageReward } from '../../lib/rewards/published/image-reward.js';
import { pickScore } from '../../lib/rewards/published/pick-score.js';
import { quadratic } from '../../lib/rewards/quadratic.js';
import { createRewardList, parseReward } from '../../lib/rewards/registry.js';
import type { Reward } from '../../lib/rewards/reward.js';
import { strokeWeight } from '../../lib/rewards/stroke-weight.js';
import { torchScript } from '../../lib/rewards/torchscript.js';
import { shippedDirectory } from '../../lib/runtime/package.js';
import { temporaryFolder, tinyModelDirectory, tinyRun } from '../helpers/tiny-run.js';

const fixture = (...path: string[]) => fileURLToPath(new URL(`../fixtures/${path.join('/')}`, import.meta.url));

/** A copy in a folder of its own, under its own name. */
function copyOf(path: string): string {
  const copy = join(temporaryFolder(), basename(path));
  cpSync(path, copy, { recursive: true });
  return copy;
}

/** As an editor or a download does: another file takes the name. */
function replace(path: string, text: string | Uint8Array): void {
  writeFileSync(`${path}.new`, text);
  renameSync(`${path}.new`, path);
}

/** Other weights in the same shapes, or another setting that means the same to whoever reads it. */
function change(path: string): void {
  const bytes = readFileSync(path);
  const isText = /\.(json|txt|mjs)$/.test(path);
  if (!isText) bytes[bytes.length - 1]! ^= 0x10;
  const isProgram = basename(path) === 'conv.pt';
  replace(
    path,
    isText ? `${bytes.toString()}\n` : isProgram ? readFileSync(fixture('torchscript', 'traced.pt')) : bytes,
  );
}

const tiny = (name: string) => fixture('rewards-tiny', name);
const module = join(temporaryFolder(), 'dark.mjs');
writeFileSync(module, 'export default (images, prompts) => ({ values: prompts.map(() => 0) });');

/** Each is made of a file or a folder, in which the files that count are `files`. */
const ofFiles: Record<string, { at: string; make: (at: string) => Reward | Promise<Reward>; files: string[] }> = {
  pickscore: { at: tiny('pickscore'), make: pickScore, files: ['model.safetensors', 'config.json', 'vocab.json'] },
  clipscore: { at: tiny('clipscore'), make: clipScore, files: ['model.safetensors', 'preprocessor_config.json'] },
  hpsv2: { at: tiny('hpsv2'), make: hpsv2, files: ['open_clip_config.json', 'merges.txt'] },
  imagereward: { at: tiny('imagereward'), make: imageReward, files: ['med_config.json', 'vocab.txt'] },
  aesthetic: {
    at: tiny('aesthetic'),
    make: (at) => aesthetic(at, { tower: tiny('clipscore') }),
    files: ['sac+logos+ava1-l14-linearMSE.pth'],
  },
  'digit-classifier': {
    at: shippedDirectory('digit-classifier'),
    make: (directory) => digitClassifier({ directory }),
    files: ['model.safetensors', 'config.json'],
  },
  torchscript: { at: fixture('torchscript', 'conv.pt'), make: (at) => torchScript(at), files: [''] },
  module: { at: module, make: (at) => moduleReward(at), files: [''] },
};

describe.each(Object.entries(ofFiles))('the reward %s that a program makes', (name, { at, make, files }) => {
  it('is the one that a configuration makes, and that of a copy elsewhere', async () => {
    const own = await rewardIdentity(await make(at));
    expect(own).toMatch(/^[0-9a-f]{64}$/);
    const tower = name === 'aesthetic' ? `,tower=${tiny('clipscore')}` : '';
    const [[configured]] = (await createRewardList([parseReward(`${name}=${at}${tower}`)], 'cpu')) as [
      [Reward, number],
    ];
    expect(await rewardIdentity(configured)).toBe(own);
    expect(await rewardIdentity(await make(copyOf(at)))).toBe(own);
  });

  it.each(files)('is another one with another %s', async (file) => {
    const copy = copyOf(at);
    const before = await rewardIdentity(await make(copy));
    change(join(copy, file));
    expect(await rewardIdentity(await make(copy))).not.toBe(before);
  });
});

describe('a reward', () => {
  it('is told from others by its settings, and by its weight and its parts where it is combined', async () => {
    const options = join(temporaryFolder(), 'options.mjs');
    cpSync(module, options);
    const rewards = [
      strokeWeight(),
      strokeWeight({ scale: -10 }),
      quadratic({ linear: [1] }),
      quadratic({ linear: [2] }),
      await moduleReward(options),
      await moduleReward(options, { dark: true }),
      pickScore(tiny('pickscore')),
      pickScore(tiny('pickscore'), { asReference: true }),
      clipScore(tiny('pickscore')),
      combine([[strokeWeight(), 1]]),
      combine([[strokeWeight(), 2]]),
      combine([[pickScore(tiny('pickscore')), 1]]),
      fromFunction('mine', () => ({ values: [] })),
    ];
    const identities = await Promise.all(rewards.map(async (reward) => JSON.stringify(await rewardIdentity(reward))));
    expect(new Set(identities).size).toBe(rewards.length);
    const same = [strokeWeight({ scale: 10 }), pickScore(tiny('pickscore'), { slice: 1, dtype: 'bfloat16' })];
    expect(await Promise.all(same.map(rewardIdentity))).toEqual([
      JSON.parse(identities[0]!),
      JSON.parse(identities[6]!),
    ]);
  });

  it('keeps what it is where a module exports it', async () => {
    const file = join(temporaryFolder(), 'exports.mjs');
    writeFileSync(file, 'export default globalThis.exported;');
    vi.stubGlobal('exported', strokeWeight({ scale: 3 }));
    expect(await rewardIdentity(await moduleReward(file))).toBe(await rewardIdentity(strokeWeight({ scale: 3 })));
    vi.unstubAllGlobals();
  });

  it('is refused where its files are written to after it was loaded, and says where they are missing', async () => {
    const copy = copyOf(tiny('pickscore'));
    using reward = pickScore(copy);
    await reward.load();
    await refuseChangedReward(reward);
    appendFileSync(join(copy, 'model.safetensors'), ' ');
    await expect(refuseChangedReward(combine([[reward, 1]]))).rejects.toThrow(/model\.safetensors was written to/);
    using missing = pickScore(join(copy, 'nowhere'));
    await expect(rewardIdentity(missing)).rejects.toThrow(/nowhere/);
    await expect(missing.load()).rejects.toThrow(/nowhere/);
  });
});

describe('a run of a reward that a program makes', () => {
  it('is not resumed where the files of the reward have changed, unless that is allowed', async () => {
    const model = await tinyModelDirectory();
    const directory = copyOf(shippedDirectory('digit-classifier'));
    // The classifier reads images of another size than this model's: only what it is made of counts here.
    const reward = () => Object.assign(combine([[digitClassifier({ directory }), 1]]), { score: strokeWeight().score });
    const { trainer, checkpoints } = await tinyRun(model, undefined, { reward: reward() });
    for await (const _ of trainer.run({ steps: 1 }));
    const again = await tinyRun(model, checkpoints, { reward: reward() });
    await again.trainer.resume(join(checkpoints, 'step-1'));
    change(join(directory, 'model.safetensors'));
    const other = await tinyRun(model, checkpoints, { reward: reward() });
    const resume = (options?: object) => other.trainer.resume(join(checkpoints, 'step-1'), options);
    await expect(resume()).rejects.toThrow(/other rewards, or other weights or files of them: .*allow: \['rewards'\]/);
    await resume({ allow: ['rewards'] });
  });
});
