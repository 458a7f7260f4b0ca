import { mergeConfig } from 'vitest/config';

import base from './vitest.config.js';

// What only a clock or a process's resident memory can tell, on a machine that does nothing else: `npm run
// test:measured`.
export default mergeConfig(
  { ...base, test: { ...base.test, include: [] } },
  { test: { include: ['test/measured/**/*.check.ts'], testTimeout: 1_800_000 } },
);
