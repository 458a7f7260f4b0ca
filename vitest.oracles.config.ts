import { mergeConfig } from 'vitest/config';

import base from './vitest.config.js';

// What is compared with other projects' code, which Python runs from its source: `npm run test:oracles`.
export default mergeConfig(
  { ...base, test: { ...base.test, include: [] } },
  { test: { include: ['test/oracles/**/*.check.ts'], testTimeout: 1_800_000, hookTimeout: 1_800_000 } },
);
