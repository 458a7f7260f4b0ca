// A file system of a few hundred kilobytes, for what happens when it is full. Mounting needs root: `canMount` tells.
import { execFileSync } from 'node:child_process';
import { closeSync, mkdtempSync, openSync, rmSync, writeSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

export class SmallDisk {
  readonly path = mkdtempSync(join(tmpdir(), 'eam-disk-'));

  constructor(bytes: number) {
    execFileSync('mount', ['-t', 'tmpfs', '-o', `size=${bytes},mode=0777`, 'tmpfs', this.path], { stdio: 'pipe' });
  }

  #remount(option: string): void {
    execFileSync('mount', ['-o', `remount,${option}`, this.path], { stdio: 'pipe' });
  }

  resize(bytes: number): void {
    this.#remount(`size=${bytes}`);
  }

  readOnly(yes: boolean): void {
    this.#remount(yes ? 'ro' : 'rw');
  }

  get #filler(): string {
    return join(this.path, 'filler');
  }

  /** Takes all space but `left` bytes. */
  fill(left = 0): void {
    const file = openSync(this.#filler, 'w');
    const page = Buffer.alloc(4096);
    let written = 0;
    try {
      for (;;) written += writeSync(file, page);
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code !== 'ENOSPC') throw error;
    } finally {
      closeSync(file);
    }
    if (left) execFileSync('truncate', ['-s', String(Math.max(0, written - left)), this.#filler]);
  }

  empty(): void {
    rmSync(this.#filler, { force: true });
  }

  /** Detaches the disk at once, though another process of the machine may still have a file of it open. */
  unmount(): void {
    execFileSync('umount', ['--lazy', this.path], { stdio: 'pipe' });
    rmSync(this.path, { recursive: true });
  }
}

/** Whether this process may mount. */
export const canMount = ((): boolean => {
  try {
    new SmallDisk(4096).unmount();
    return true;
  } catch {
    return false;
  }
})();
