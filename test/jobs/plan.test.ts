// `eam plan` from end to end.
import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';

import { describe, expect, it } from 'vitest';

import { eam } from '../helpers/command-line.js';
import { folder, useEmptyCaches, written } from '../helpers/plan-config.js';

useEmptyCaches();

describe('eam plan', () => {
  it('prints the plan, and refuses a device that is too small, with the numbers', async () => {
    const fits = await eam('plan', await written());
    expect(fits).toMatchObject({ code: 0, stderr: '' });
    expect(fits.stdout).toMatch(/^ {2}transformer, float32 +148688 +0\.6 MiB$/m);
    expect(fits.stdout).toMatch(/^ {2}forwards +56$/m);
    expect(fits.stdout).toMatch(/<- the most$/m);
    expect(fits.stdout).toMatch(/^ {2}training +0\.00373 TFLOP$/m);
    const small = await eam('plan', await written(), '--memory', '0.005', '--set', 'dtype=bfloat16');
    expect(small.code).toBe(1);
    expect(small.stderr).toMatch(
      new RegExp(
        String.raw`^error: cpu is too small: the plan needs \d+\.\d MiB, most of it while .+, and 5\.1 MiB of ` +
          String.raw`5\.1 MiB are free\. Less is needed there with checkpointing; algorithm\.microBatch; a smaller ` +
          String.raw`image; a smaller batch\.`,
      ),
    );
  });

  it('plans for a device that is not there, and counts the evaluations of a model that is small', async () => {
    const { code, stdout } = await eam('plan', await written(), '--device', 'cuda:97', '--json');
    const { needed, fits, memory } = JSON.parse(stdout) as {
      needed: number;
      fits: boolean | null;
      memory: { peak: { bytes: number } };
    };
    expect({ code, fits }).toEqual({ code: 0, fits: null });
    expect(needed).toBeGreaterThan(memory.peak.bytes + 2 ** 28);
    const digits = await eam('plan', await written({ model: 'digits', prompts: ['3'] }));
    expect(digits).toMatchObject({ code: 0 });
    expect(digits.stdout).toMatch(/forwards +56[\s\S]*The memory of this model is not planned/);
  });

  it('names what is wrong in the configuration or the directory', async () => {
    expect(await eam('plan', await written({ batch: 0 }))).toMatchObject({
      code: 2,
      stderr: expect.stringContaining('batch: expected'),
    });
    expect(await eam('plan', await written({ image: { width: 65, height: 64 } }))).toMatchObject({
      code: 2,
      stderr: expect.stringContaining('expected a multiple of 4'),
    });
    const recipe = { model: { type: 'digits' }, optimizer: { learningRate: 1e-3 }, steps: 1, output: 'pretrained' };
    const path = join(folder, 'pretrain.json');
    await writeFile(path, JSON.stringify(recipe));
    expect(await eam('plan', path)).toMatchObject({
      code: 2,
      stderr:
        'error: finetune configuration: expected one of eam finetune, with rewards and an algorithm, got one with ' +
        'the keys model, optimizer, steps, output; eam plan takes no other, so name that of a fine-tuning\n',
    });
    expect(await eam('plan', join(folder, 'nowhere.json'))).toMatchObject({
      code: 2,
      stderr: expect.stringContaining('nowhere.json'),
    });
  });
});
