import { execFileSync } from 'node:child_process';
import { join } from 'node:path';

/** Compiles native/check into a build folder of the addon, whose objects it links, and returns the program's path. */
export function buildCheckOps(directory: string): string {
  const options = { encoding: 'utf8', stdio: 'pipe', maxBuffer: 2 ** 28 } as const;
  execFileSync('cmake', ['-DEAM_BUILD_CHECKS=ON', directory], options);
  execFileSync('cmake', ['--build', directory, '--target', 'check_ops'], options);
  return join(directory, 'check_ops');
}
