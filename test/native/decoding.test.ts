// Slices of images without Node: how often a step decodes, by a network that counts, and LibTorch's TF32 flag.
import { spawnSync } from 'node:child_process';
import { join } from 'node:path';

import { expect, it } from 'vitest';

import { inspect } from '../../lib/runtime/native/loader.js';
import { buildCheck } from '../helpers/native-check.js';

it.each(['check_decoding', 'check_tf32'])('%s finds no mismatch', async (name) => {
  const { loaded } = inspect();
  const program = await buildCheck(loaded!.addon.directory, name);
  const checked = spawnSync(program, {
    encoding: 'utf8',
    env: { ...process.env, LD_LIBRARY_PATH: join(loaded!.libtorch.directory, 'lib') },
  });
  expect(checked.stdout, checked.stderr).toContain('all checks passed');
  expect(checked.status).toBe(0);
});
