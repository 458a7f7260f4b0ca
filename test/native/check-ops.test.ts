// The kernels and the operators without Node: check_ops also compares CUDA with the CPU where there is a device.

import { spawnSync } from 'node:child_process';
import { join } from 'node:path';

import { expect, it } from 'vitest';

import { inspect } from '../../lib/runtime/native/loader.js';
import { buildCheck } from '../helpers/native-check.js';

it.each(['check_kernels', 'check_ops'])('%s finds no mismatch', async (name) => {
  const { loaded } = inspect();
  const program = await buildCheck(loaded!.addon.directory, name);
  const checked = spawnSync(program, {
    encoding: 'utf8',
    env: { ...process.env, LD_LIBRARY_PATH: join(loaded!.libtorch.directory, 'lib') },
  });
  expect(checked.stdout).toContain('all checks passed');
  expect(checked.status).toBe(0);
});
