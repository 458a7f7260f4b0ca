// A reward's gradient against finite differences of its values.
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';

import { describe, expect, it } from 'vitest';

import { checkReward } from '../../lib/jobs/check-reward/check-reward.js';
import { fromFunction } from '../../lib/rewards/from-function.js';
import { strokeWeight } from '../../lib/rewards/stroke-weight.js';
import { eam } from '../helpers/command-line.js';
import { temporaryFolder } from '../helpers/tiny-run.js';

const options = { shape: [3, 16, 20], prompts: ['a', 'b'], device: 'cpu' } as const;

/** r = Σ (x − 1/2)² + Σ x, whose gradient a mistake changes. */
const quadratic = (mistake: (gradient: number, at: number) => number) =>
  fromFunction('quadratic', ({ data }, prompts) => {
    const size = data.length / prompts.length;
    const values = prompts.map((_, image) =>
      data.slice(image * size, (image + 1) * size).reduce((sum, x) => sum + (x - 0.5) ** 2 + x, 0),
    );
    return { values, grad: data.map((x, at) => mistake(2 * (x - 0.5) + 1, at)) };
  });

describe('checkReward', () => {
  it('finds nothing wrong with a right gradient', async () => {
    for (const reward of [quadratic((gradient) => gradient), strokeWeight({ scale: -3 })]) {
      const { verdict, scale, correlation } = await checkReward(reward, options);
      expect(verdict).toBe('right');
      expect(scale).toBeCloseTo(1, 2);
      expect(correlation).toBeCloseTo(1, 3);
    }
  });

  it.each([
    { what: 'a flipped sign', mistake: (g: number) => -g, verdict: 'flipped', text: 'the wrong sign: training' },
    { what: 'a flipped sign and a factor', mistake: (g: number) => -3 * g, verdict: 'flipped', text: 'is 3 times' },
    { what: 'a factor', mistake: (g: number) => 4 * g, verdict: 'scaled', text: 'is 4 times as large as it should be' },
    { what: 'no gradient at all', mistake: () => 0, verdict: 'zero', text: 'while the value changes' },
  ] as const)('tells $what', async ({ mistake, verdict, text }) => {
    const found = await checkReward(quadratic(mistake), options);
    expect(found).toMatchObject({ verdict, text: expect.stringContaining(text) });
  });

  it('says where a gradient is wrong', async () => {
    // Wrong in the first four rows alone.
    const reward = quadratic((gradient, at) => (Math.floor(at / 20) % 16 < 4 ? -gradient : gradient));
    const { verdict, text, directions } = await checkReward(reward, options);
    expect([verdict, text]).toEqual(['wrong', expect.stringContaining('most so at rows 0-3')]);
    for (const { where } of directions.slice(0, 4)) expect(where).toContain('rows 0-3');
  });

  it('says of values that do not change smoothly that nothing can be told', async () => {
    let call = 0;
    const reward = fromFunction('noise', ({ data }, prompts) => ({
      values: prompts.map(() => Math.sin(1000 * ++call)),
      grad: data.map(() => 1),
    }));
    expect(await checkReward(reward, options)).toMatchObject({ verdict: 'unknown' });
  });
});

describe('checkReward of values and gradients that cannot be right', () => {
  const reward = (value: number, slope: number) =>
    fromFunction('odd', ({ data }, prompts) => ({ values: prompts.map(() => value), grad: data.map(() => slope) }));

  it.each([
    { what: 'a value that is not finite', value: NaN, slope: 1, verdict: 'unknown', text: 'is not finite' },
    { what: 'a gradient that is not finite', value: 1, slope: NaN, verdict: 'unknown', text: 'is not finite' },
    { what: 'a gradient of a constant', value: 1, slope: 1, verdict: 'wrong', text: 'does not change with the images' },
  ] as const)('tells $what', async ({ value, slope, verdict, text }) => {
    const found = await checkReward(reward(value, slope), options);
    expect(found).toMatchObject({ verdict, text: expect.stringContaining(text) });
  });
});

describe('eam check-reward', () => {
  const moduleOf = (sign: string) => {
    const file = join(temporaryFolder(), 'mine.mjs');
    writeFileSync(
      file,
      `export default ({ data }, prompts) => {
  const size = data.length / prompts.length;
  return { values: prompts.map((_, i) => data.slice(i * size, (i + 1) * size).reduce((sum, x) => sum + x * x, 0)),
    grad: data.map((x) => ${sign}2 * x) };
};`,
    );
    return file;
  };

  it('exits with 0 where a module is right, and with 1 where its sign is flipped', async () => {
    const right = await eam('check-reward', moduleOf(''), '--width', '12', '--height', '8', '--channels', '1');
    expect([right.code, right.stdout]).toEqual([0, expect.stringContaining('the gradient is that of the value\n')]);
    const flipped = await eam('check-reward', moduleOf('-'), '--width', '12', '--height', '8');
    expect([flipped.code, flipped.stderr]).toEqual([
      1,
      expect.stringContaining('mine: the gradient has the wrong sign'),
    ]);
    expect(flipped.stdout).toContain('finite differences are -1 times the gradient');
  });

  it('takes a reward by name, and prints JSON', async () => {
    const { code, stdout } = await eam('check-reward', 'stroke-weight', '--json', '--width', '8', '--height', '8');
    expect([code, JSON.parse(stdout).verdict]).toEqual([0, 'right']);
  });

  it.each([
    { reward: 'strok-weight', code: 2, said: 'expected one of' },
    { reward: '/nowhere/mine.mjs', code: 2, said: '' },
  ])('refuses $reward', async ({ reward, code, said }) => {
    const refused = await eam('check-reward', reward);
    expect([refused.code, refused.stderr]).toEqual([code, expect.stringContaining(said)]);
  });
});
