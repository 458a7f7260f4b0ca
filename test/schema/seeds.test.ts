// A number past 2^53 may not be the seed that was typed: it is refused, and a bigint is what holds it.

import { describe, expect, it } from 'vitest';

import { ConfigError } from '../../lib/errors.js';
import { finetuneSchema } from '../../lib/jobs/settings/finetune.js';
import { validate } from '../../lib/schema/validate.js';
import { eam } from '../helpers/command-line.js';
import { temporaryFolder, tinyModelDirectory, tinyRun } from '../helpers/tiny-run.js';

const config = (seed: string): unknown =>
  JSON.parse(`{"model": "digits", "prompts": ["3"], "rewards": [{"name": "stroke-weight"}], "steps": 1,
    "algorithm": {"name": "eam"}, "optimizer": {"learningRate": 1e-3}, "seed": ${seed}}`);

describe('a seed', () => {
  it('goes up to 2^53 - 1 in a configuration', () => {
    expect(validate(finetuneSchema, config('9007199254740991'), 'c').seed).toBe(2 ** 53 - 1);
    for (const seed of ['9007199254740992', '9007199254740993', '18446744073709551616', '1e300'])
      expect(() => validate(finetuneSchema, config(seed), 'c')).toThrow(
        /^c: seed: expected a number of at most 2\^53 - 1, up to which numbers are exact, got /,
      );
    expect(() => validate(finetuneSchema, config('-1'), 'c')).toThrow(
      /^c: seed: expected a number of at least 0, got -1$/,
    );
    expect(() => validate(finetuneSchema, config('1.5'), 'c')).toThrow(/^c: seed: expected a whole number, got 1\.5$/);
  });

  it('goes up to 2^53 - 1 on the command line', async () => {
    for (const seed of ['9007199254740992', '9007199254740993', '-1', '1.5', '1e300']) {
      const { code, stderr } = await eam('sample', '--prompt', '3', '--out', 'a.png', '--seed', seed);
      expect([code, stderr]).toEqual([
        2,
        expect.stringContaining('Expected a whole number from 0 to 2^53 - 1.') as string,
      ]);
    }
  });

  it('goes as far as a bigint in a Trainer', async () => {
    const model = await tinyModelDirectory();
    const trained = (seed: number | bigint) => tinyRun(model, temporaryFolder(), { seed });
    for (const seed of [2 ** 53 - 1, 2n ** 53n + 1n, 2n ** 64n - 1n])
      await expect(trained(seed)).resolves.toBeDefined();
    for (const seed of [2 ** 53, 2 ** 64, -1, 1.5, Number.NaN, Number.POSITIVE_INFINITY, 2n ** 64n, -1n]) {
      const error = await trained(seed).catch((caught: unknown) => caught);
      expect(error).toBeInstanceOf(ConfigError);
      expect((error as Error).message).toMatch(
        /^trainer options: seed: expected a (bigint|number), got|seed: expected a number of/,
      );
    }
  });
});
