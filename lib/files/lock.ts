import { closeSync, existsSync, fstatSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { hostname } from 'node:os';
import { join } from 'node:path';

import { isAlive } from '../runtime/is-alive.js';
import { binding } from '../runtime/native/index.js';

/** The file in a run's directory that whoever writes to it has locked. */
export const lockName = 'lock';

/**
 * A run's directory, kept from other processes. The operating system lets go of it when the process ends, however it
 * ends: a file that a killed one left behind is no lock.
 */
export class RunLock {
  private constructor(
    private readonly path: string,
    private readonly fd: number,
  ) {}

  /** Undefined where another run has it. @throws CheckpointError where there can be no such file */
  static take(directory: string): RunLock | undefined {
    const path = join(directory, lockName);
    for (;;) {
      const fd = binding().lockFile(path);
      if (fd === undefined) return undefined;
      // Whoever had it may have removed the file after it was opened here: that one keeps nobody out.
      if (statSync(path, { throwIfNoEntry: false })?.ino === fstatSync(fd).ino) {
        unlessRefused(() => writeFileSync(path, `process ${process.pid} on ${hostname()}\n`));
        return new RunLock(path, fd);
      }
      closeSync(fd);
    }
  }

  /** Who has it, for a message. */
  static holder(directory: string): string {
    return unlessRefused(() => readFileSync(join(directory, lockName), 'utf8').trim()) || 'another process';
  }

  /**
   * Whether a process has the lock. Where there is no native core to ask, the process that the file names must be alive
   * on this machine.
   */
  static isHeld(directory: string): boolean {
    const path = join(directory, lockName);
    if (!existsSync(path)) return false;
    const [, pid, host] = /^process (\d+) on (.*)$/.exec(RunLock.holder(directory)) ?? [];
    // Usually the process that the file names was killed on this machine, so that the core need not be loaded.
    if (pid !== undefined && host === hostname() && !isAlive(Number(pid))) return false;
    return unlessRefused(() => binding().isLocked(path)) ?? host === hostname();
  }

  release(): void {
    unlessRefused(() => rmSync(this.path));
    closeSync(this.fd);
  }
}

/**
 * A full or a read-only disk takes the name off the lock, or leaves the file behind: neither is a lock less or more.
 */
function unlessRefused<Value>(work: () => Value): Value | undefined {
  try {
    return work();
  } catch {
    return undefined;
  }
}
