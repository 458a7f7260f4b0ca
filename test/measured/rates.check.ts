import { expect, it } from 'vitest';

import { binding } from '../../lib/runtime/native/index.js';

it('products of large matrices take longer than products of small ones', async () => {
  const seconds = async (size: number) => binding().matrixProductSeconds(size, 3, 'float32', 'cpu');
  expect(await seconds(512)).toBeGreaterThan(await seconds(8));
});
