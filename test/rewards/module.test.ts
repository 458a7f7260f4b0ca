import { writeFileSync } from 'node:fs';
import { join } from 'node:path';

import { describe, expect, it } from 'vitest';

import { ConfigError, type EamError } from '../../lib/errors.js';
import { moduleReward } from '../../lib/rewards/module.js';
import { createRewards } from '../../lib/rewards/registry.js';
import { score } from '../../lib/rewards/reward.js';
import { numbersOf } from '../helpers/numbers.js';
import { temporaryFolder } from '../helpers/tiny-run.js';
import { images, prompts } from '../helpers/reward-images.js';

describe('a reward in a module', () => {
  const folder = temporaryFolder();
  let count = 0;
  const module = (text: string) => {
    const path = join(folder, `reward-${++count}.mjs`);
    writeFileSync(path, text);
    return path;
  };

  it('is loaded as a function, which is given its options', async () => {
    const file = module(
      'export default ({ data, shape }, prompts, { slope }) => ({ values: prompts.map(Number), grad: data.map(() ' +
        '=> slope) })',
    );
    const reward = await createRewards(
      [{ name: 'module', weight: 2, file, options: { slope: 3 }, differentiable: true, wholeBatch: false }],
      'cpu',
    );
    const { values, grad, parts } = await score(reward, images(), prompts, { gradient: true });
    expect(Array.from(values)).toEqual([0, 2, 4]);
    expect(await numbersOf(grad!)).toEqual(new Array(48).fill(6));
    expect(Object.keys(parts!)).toEqual([`reward-${count}`]);
  });

  it('is loaded as a Reward', async () => {
    const file = module(
      "export default { name: 'mine', score: async (images, prompts) => ({ values: prompts.map(Number) }) }",
    );
    const reward = await moduleReward(file);
    expect(reward.name).toBe('mine');
    expect(Array.from((await score(reward, images(), prompts, {})).values)).toEqual([0, 1, 2]);
    await expect(moduleReward(file, { slope: 3 })).rejects.toThrow(
      /its default export is a Reward, which takes no options/,
    );
  });

  it.each([
    {
      text: 'export const reward = 1, other = 2',
      message: 'such as export default function (images, prompts) { … }, got none, only other, reward',
    },
    { text: '', message: 'its default export: expected a Reward (name and score) or a function, such as ' },
    { text: 'export default 3', message: '{ … }, got a number' },
    { text: 'export default { name: "mine" }', message: '{ … }, got an object' },
    { text: 'throw new Error("no licence")', message: 'it cannot be loaded: no licence' },
    { text: 'export default (', message: 'it cannot be loaded: ' },
  ])('is refused where the module is $text', async ({ text, message }) => {
    const error = (await moduleReward(module(text)).catch((caught: unknown) => caught)) as EamError;
    expect(error).toBeInstanceOf(ConfigError);
    expect(error.message).toContain(message);
  });

  it('is refused where the module does not exist', async () => {
    await expect(moduleReward(join(folder, 'absent.mjs'))).rejects.toThrow(/absent\.mjs: there is no such file$/);
  });
});
