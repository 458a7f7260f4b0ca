import { mergeConfig } from 'vitest/config';

import base from './vitest.config.js';

// What installs with npm and runs for minutes; `npm run test:installed`.
export default mergeConfig(
  { ...base, test: { ...base.test, include: [] } },
  {
    test: { include: ['test/installed/**/*.check.ts'], testTimeout: 600_000, hookTimeout: 600_000 },
  },
);
