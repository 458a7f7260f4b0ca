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

/**
 * Waits for work that may not heed `signal`: once that is aborted, for `grace` milliseconds more, and then leaves the
 * work behind.
 * @param late is given what the work came to after it was left behind
 * @throws the signal's reason where the work was left behind, or failed after the signal was aborted
 */
export async function unlessLeftBehind<T>(
  work: Promise<T>,
  signal: AbortSignal | undefined,
  grace: number,
  late: (value: T) => void,
): Promise<T> {
  if (!signal) return work;
  let timer: ReturnType<typeof setTimeout> | undefined;
  let onAbort = () => {};
  let isLeft = false;
  const left = new Promise<never>((_, reject) => {
    onAbort = () => {
      timer = setTimeout(() => {
        isLeft = true;
        reject(signal.reason as Error);
      }, grace);
    };
    if (signal.aborted) onAbort();
    else signal.addEventListener('abort', onAbort, { once: true });
  });
  work.then(
    (value) => isLeft && late(value),
    () => {},
  );
  try {
    return await Promise.race([work, left]);
  } catch (error) {
    throw signal.aborted ? signal.reason : error;
  } finally {
    clearTimeout(timer);
    signal.removeEventListener('abort', onAbort);
  }
}
