import { availableParallelism } from 'node:os';
import { fileURLToPath } from 'node:url';

import { defineConfig } from 'vitest/config';

export default defineConfig({
  // The examples import the package by its name: here that is its source.
  resolve: { alias: [{ find: /^eam-torch$/, replacement: fileURLToPath(new URL('lib/index.ts', import.meta.url)) }] },
  test: {
    include: ['test/**/*.test.ts'],
    globalSetup: ['test/helpers/temporary-files.setup.ts'],
    // One process a file: an addon that aborts takes down its own file only. Most files wait for processes that they
    // start, each with a network's worth of memory: a few at a time.
    pool: 'forks',
    maxWorkers: Math.min(4, availableParallelism()),
    // What hangs is ended; nothing is judged by how long it takes.
    testTimeout: 1_200_000,
    hookTimeout: 1_200_000,
    env: { OMP_WAIT_POLICY: 'passive' },
    coverage: { include: ['lib/**/*.ts'], exclude: ['**/*.generated.ts'], reporter: ['text-summary', 'html'] },
    // A row's label is shown whole in the title of its test.
    chaiConfig: { truncateThreshold: 200 },
  },
});
