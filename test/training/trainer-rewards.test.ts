// Rewards that give a trainer something else than finite numbers.
import { readdirSync } from 'node:fs';
import { join } from 'node:path';

import { describe, expect, it } from 'vitest';

import { type EamError, NonFiniteError } from '../../lib/errors.js';
import { combine } from '../../lib/rewards/combine.js';
import { fromFunction } from '../../lib/rewards/from-function.js';
import type { Reward } from '../../lib/rewards/reward.js';
import { strokeWeight } from '../../lib/rewards/stroke-weight.js';
import { temporaryFolder, tinyModelDirectory, tinyRun } from '../helpers/tiny-run.js';
import { disturbed, steps, train } from '../helpers/training-run.js';

const model = await tinyModelDirectory();

describe('Trainer.run with rewards that are not finite', () => {
  it('drops their samples, not the run', async () => {
    const reward = disturbed(2, (values) => {
      values[1] = NaN;
      values[5] = -Infinity;
    });
    const seen = await train((await tinyRun(model, temporaryFolder(), { reward })).trainer, 3);
    expect(seen.map(({ dropped }) => dropped)).toEqual([0, 2, 0]);
    expect(Number.isFinite(seen[1]!.reward)).toBe(true);
  });

  it('stops with NonFiniteError when they stay, after a checkpoint', async () => {
    const reward = fromFunction('broken', (images) => ({
      values: new Float32Array(images.shape[0]!).fill(NaN),
      grad: new Float32Array(images.data.length),
    }));
    const { trainer, checkpoints } = await tinyRun(model, temporaryFolder(), { reward, nonFinite: { patience: 3 } });
    const seen: number[] = [];
    const counting = async () => {
      for await (const { step } of trainer.run({ steps })) seen.push(step);
    };
    await expect(counting()).rejects.toThrow(NonFiniteError);
    expect(seen).toEqual([1, 2, 3]);
    expect(readdirSync(checkpoints)).toEqual(['step-3']);
    // A run that is resumed counts on.
    const resumed = await tinyRun(model, checkpoints, { reward, nonFinite: { patience: 5 } });
    await resumed.trainer.resume(join(checkpoints, 'step-3'));
    await expect(train(resumed.trainer, 20)).rejects.toThrow(/5 steps in a row, up to step 5/);
  });
});

describe('Trainer.run with a reward that breaks its promise', () => {
  it.each([
    { what: 'gives no gradient', answer: () => ({ values: new Float32Array(8) }), message: /returned no gradient/ },
    {
      what: 'gives too few values',
      answer: () => ({ values: [1], grad: new Float32Array(8 * 64) }),
      message: /returned 1 values for 8 images/,
    },
    {
      what: 'gives half a gradient',
      answer: () => ({ values: new Float32Array(8), grad: new Float32Array(9) }),
      message: /grad: expected 512 numbers, one for each of the images', got 9/,
    },
  ])('names the reward that $what', async ({ answer, message }) => {
    const reward = combine([
      [strokeWeight(), 1],
      [fromFunction('mine', answer), 2],
    ]);
    const { trainer } = await tinyRun(model, temporaryFolder(), { reward });
    const error = (await train(trainer).catch((caught: unknown) => caught)) as EamError;
    expect(error.code).toBe('ERR_EAM_REWARD');
    expect(error.message).toMatch(/^reward "mine" failed/);
    expect(error.message).toMatch(message);
  });
});

it('Trainer.run names a reward that returns no values', async () => {
  for (const [answer, problem] of [
    [undefined, 'what it returned: expected { values, grad }, got undefined'],
    [{}, 'values: expected numbers in a typed array or an array, got undefined'],
    [{ values: [1, 2] }, 'it returned 2 values for 8 images'],
  ] as const) {
    const reward: Reward = { name: 'mine', score: async () => answer as never };
    const { trainer } = await tinyRun(model, temporaryFolder(), { reward });
    await expect(train(trainer)).rejects.toThrow(`reward "mine" failed: ${problem}`);
  }
});
