import { fileURLToPath } from 'node:url';

import { defineConfig } from 'vitest/config';

export default defineConfig({
  // The examples import the package by its name: here that is its source.
  resolve: { alias: [{ find: /^eam-torch$/, replacement: fileURLToPath(new URL('lib/index.ts', import.meta.url)) }] },
  test: {
    include: ['test/**/*.test.ts'],
    // One process a file, one at a time: an addon that aborts takes down its own file only, and LibTorch's threads
    // are not shared with another test's while time is measured.
    pool: 'forks',
    fileParallelism: false,
    testTimeout: 60_000,
    hookTimeout: 60_000,
    env: { OMP_WAIT_POLICY: 'passive' },
  },
});
