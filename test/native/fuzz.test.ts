// A little of what `npm run fuzz` does for long and under AddressSanitizer.
import { spawnSync } from 'node:child_process';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';

import { expect, it } from 'vitest';

import { inspect } from '../../lib/runtime/native/loader.js';
import { buildCheck } from '../helpers/native-check.js';

const seed = String(Date.now());
const { loaded } = inspect();

it('the safetensors reader refuses mutated files or gives their bytes, from the header to a network', () => {
  const target = fileURLToPath(new URL('../fuzz/safetensors.mjs', import.meta.url));
  const { status, signal, stdout, stderr } = spawnSync(
    process.execPath,
    [target, '--executions', '10000', '--seed', seed],
    { encoding: 'utf8' },
  );
  expect([status, signal, stderr]).toEqual([0, null, '']);
  const [, accepted, refused, files] = /, (\d+) accepted, (\d+) refused; (\d+) files/.exec(stdout)!.map(Number);
  for (const count of [accepted, refused, files]) expect(count, stdout).toBeGreaterThan(10);
});

it('the native reader refuses entries that no parser has checked, or gives their bytes', async () => {
  const program = await buildCheck(loaded!.addon.directory, 'fuzz_tensor_file');
  const env = { ...process.env, LD_LIBRARY_PATH: join(loaded!.libtorch.directory, 'lib') };
  const { status, signal, stdout, stderr } = spawnSync(program, ['inf', seed, '20000'], { encoding: 'utf8', env });
  expect([status, signal, stderr]).toEqual([0, null, '']);
  const [, accepted, refused] = /, (\d+) accepted, (\d+) refused/.exec(stdout)!.map(Number);
  for (const count of [accepted, refused]) expect(count, stdout).toBeGreaterThan(100);
});
