import { execFileSync } from 'node:child_process';
import { join } from 'node:path';

/** Compiles a program of native/test, native/bench or native/fuzz into a build folder of the addon, whose objects it links; returns its path. */
export function buildCheck(directory: string, name: string): string {
  const options = { encoding: 'utf8', stdio: 'pipe', maxBuffer: 2 ** 28 } as const;
  execFileSync('cmake', ['-DEAM_BUILD_CHECKS=ON', directory], options);
  execFileSync('cmake', ['--build', directory, '--target', name], options);
  return join(directory, name);
}
