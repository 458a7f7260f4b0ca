import { cpSync } from 'node:fs';
import { join } from 'node:path';

import { describe, expect, it } from 'vitest';

import { saveTensors } from '../../lib/files/safetensors.js';
import { Tensor } from '../../lib/runtime/native/tensor.js';
import { eam } from '../helpers/command-line.js';
import { copyOf, editJson, goldensOf, rewardDirectory, rewardNames } from '../helpers/reward-directories.js';

describe('eam verify --reward', () => {
  it.each(rewardNames)('finds all goldens of %s', async (name) => {
    const { code, stdout } = await eam('verify', '--reward', name, rewardDirectory(name));
    expect([code, stdout]).toEqual([0, expect.stringMatching(/(\d+) of \1 goldens within/)]);
    for (const golden of [
      'square.scores',
      'wide.grad_images',
      'wide.pixel_values',
      ...(name === 'aesthetic' ? [] : ['ids']),
    ]) {
      expect(stdout).toMatch(new RegExp(`pass +${golden}\n`));
    }
  });

  it('fails where heads are counted otherwise, a prompt is another and PIL had other bytes', async () => {
    const copy = copyOf('hpsv2');
    cpSync(join(rewardDirectory('hpsv2'), 'goldens.safetensors'), join(copy, 'goldens.safetensors'));
    editJson(join(copy, 'open_clip_config.json'), (json) =>
      Object.assign(json['vision_cfg'] as object, { head_width: 16 }),
    );
    const { code, stdout, stderr } = await eam('verify', '--reward', 'hpsv2', copy);
    expect([code, stderr]).toEqual([1, expect.stringMatching(/4 of 7 goldens differ/)]);
    expect(stdout).toMatch(/FAIL +square.scores/);
    const other = copyOf('pickscore');
    const { tensors, prompts } = await goldensOf('pickscore');
    const bytes = ((await tensors['pil.input_uint8']!.data()) as Uint8Array).map((byte) => byte ^ 16);
    const spoilt = { ...tensors, 'pil.input_uint8': Tensor.from(bytes, tensors['pil.input_uint8']!.shape) };
    await saveTensors(join(other, 'goldens.safetensors'), spoilt, {
      prompts: JSON.stringify([prompts[0], 'another', ...prompts.slice(2)]),
    });
    const result = await eam('verify', '--reward', 'pickscore', other);
    expect(result.code).toBe(1);
    for (const golden of ['ids', 'square.scores', 'pil.pixel_values'])
      expect(result.stdout).toMatch(new RegExp(`FAIL +${golden}`));
    expect(result.stdout).toMatch(/pass +square.pixel_values/);
  });

  it('knows the five rewards, and takes the tower of the aesthetic predictor', async () => {
    expect((await eam('verify', '--reward', 'hps', rewardDirectory('hpsv2'))).stderr).toMatch(
      /those that can be: pickscore, clipscore, hpsv2, imagereward, aesthetic/,
    );
    const copy = copyOf('aesthetic');
    cpSync(join(rewardDirectory('aesthetic'), 'goldens.safetensors'), join(copy, 'goldens.safetensors'));
    expect(await eam('verify', '--reward', 'aesthetic', copy)).toMatchObject({
      code: 1,
      stderr: expect.stringMatching(/expected the setting "tower" .*eam verify: --tower DIRECTORY/) as unknown,
    });
    expect(await eam('verify', '--reward', 'aesthetic', copy, '--tower', rewardDirectory('clipscore'))).toMatchObject({
      code: 0,
    });
  });
});
