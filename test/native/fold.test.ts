// Adapters folded into weights, without Node: sums, how half types round them, and what of small updates arrives.
import { spawnSync } from 'node:child_process';
import { join } from 'node:path';

import { expect, it } from 'vitest';

import { inspect } from '../../lib/runtime/native/loader.js';
import { buildCheck } from '../helpers/native-check.js';

it('check_fold finds no mismatch', async () => {
  const { loaded } = inspect();
  const program = await buildCheck(loaded!.addon.directory, 'check_fold');
  const checked = spawnSync(program, {
    encoding: 'utf8',
    env: { ...process.env, LD_LIBRARY_PATH: join(loaded!.libtorch.directory, 'lib') },
  });
  expect(checked.stdout, checked.stderr).toContain('all checks passed');
  expect(checked.status).toBe(0);
});
