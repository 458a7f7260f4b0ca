// What decides an order or an amount instead of a clock: the executor held until told, and the bytes that LibTorch gave
// out.
import { binding } from '../../lib/runtime/native/index.js';

/** Keeps the executor from what is asked of it after this, until the function that is returned is called. */
export function hold(): () => Promise<void> {
  const cancellation = new (binding().Cancellation)();
  const held = binding()
    .hold(cancellation)
    .catch(() => {});
  return async () => {
    cancellation.cancel();
    await held;
  };
}

/** Bytes that LibTorch gave out on the CPU while `work` ran, at most at a time and beyond those of before. */
export async function peakOf(work: () => Promise<unknown>): Promise<number> {
  const before = binding().tensorMemory().bytes;
  await work();
  return binding().tensorMemory().peak - before;
}
