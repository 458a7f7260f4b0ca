import { CancelledError } from '../errors.js';
import type { NativeCancellation } from './native/binding.js';
import { binding } from './native/index.js';

/**
 * Runs native work that stops between network evaluations once `signal` is aborted.
 * @throws the signal's reason when it was aborted
 */
export async function cancellable<T>(
  signal: AbortSignal | undefined,
  work: (cancellation: NativeCancellation) => Promise<T>,
): Promise<T> {
  signal?.throwIfAborted();
  const cancellation = new (binding().Cancellation)();
  const cancel = () => cancellation.cancel();
  signal?.addEventListener('abort', cancel, { once: true });
  try {
    return await work(cancellation);
  } catch (error) {
    if (error instanceof CancelledError && signal?.aborted) throw signal.reason;
    throw error;
  } finally {
    signal?.removeEventListener('abort', cancel);
  }
}
