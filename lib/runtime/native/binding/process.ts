// The process that the addon is in: what it is, its threads, and stopping its work.

import type { AddonExports } from '../open.js';

/** Stops native work between two network evaluations. */
export interface NativeCancellation {
  /** Stops the calls that it was given to, between two network evaluations. */
  cancel(): void;
}

export interface ProcessBinding extends AddonExports {
  readonly variant: 'cpu' | 'cuda';
  /** How many threads an operator uses. */
  threads(): Promise<number>;
  setThreads(count: number): Promise<void>;
  cudaDeviceCount(): number;
  /**
   * Bytes of a CUDA device that no process has taken, and of all of it. ConfigError for 'cpu' or one that is not there.
   */
  cudaMemory(device: string): Promise<{ free: number; total: number }>;
  /**
   * A descriptor of the file, made where there is none, which is locked until that is closed or the process ends,
   * however it ends; undefined where another descriptor has the lock.
   */
  lockFile(path: string): number | undefined;
  /** Whether a descriptor has the lock of {@link lockFile} on the file; false where there is none. */
  isLocked(path: string): boolean;
  Cancellation: new () => NativeCancellation;
}
