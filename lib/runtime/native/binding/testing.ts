import type { NativeCancellation } from './process.js';

/** What tests judge by instead of a clock and a process's resident memory. */
export interface TestingBinding {
  /** Keeps the executor busy, and what is submitted after it from beginning, until cancelled, and rejects then. */
  hold(cancellation: NativeCancellation): Promise<void>;
  /**
   * Bytes that LibTorch has given out on the CPU since the first call, which are not yet free, and the most that they
   * were since the last call. Memory that is borrowed or mapped is none of them.
   */
  tensorMemory(): { bytes: number; peak: number };
}
