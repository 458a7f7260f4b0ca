// Tells which CUDA this machine's NVIDIA driver serves: every minor version of the majors up to its own.

import { spawnSync } from 'node:child_process';

import { expected } from '../../schema/validate.js';
import { findExecutable } from './tools.js';
import { BuildError } from './run-command.js';

/**
 * The majors that LibTorch is built for, the newest first, and the oldest driver of each: CUDA Toolkit Release Notes,
 * table 2.
 */
const majors = [
  { cuda: 13, driver: '580.65' },
  { cuda: 12, driver: '525.60' },
] as const;

export type CudaMajor = (typeof majors)[number]['cuda'];

/** Such as '580.159.04'; undefined where nvidia-smi finds no driver. */
export function driverVersion(): string | undefined {
  const command = findExecutable(['nvidia-smi']);
  if (command === undefined) return undefined;
  const { status, stdout } = spawnSync(command, ['--query-gpu=driver_version', '--format=csv,noheader'], {
    encoding: 'utf8',
    timeout: 30_000,
    stdio: ['ignore', 'pipe', 'ignore'],
  });
  return status === 0 ? /^\d+(\.\d+)+/m.exec(stdout)?.[0] : undefined;
}

const numberOf = (version: string): number => {
  const [major = 0, minor = 0] = version.split('.').map(Number);
  return major * 1000 + minor;
};

/** The oldest driver that serves a CUDA of this major. */
export const driverFor = (cuda: CudaMajor): string => majors.find((each) => each.cuda === cuda)!.driver;

/**
 * The newest CUDA that the driver serves; the newest of all where there is no driver.
 * @throws BuildError for a driver that is too old for every one
 */
export function cudaFor(driver: string | undefined): CudaMajor {
  if (driver === undefined) return majors[0].cuda;
  const found = majors.find((each) => numberOf(driver) >= numberOf(each.driver));
  if (found) return found.cuda;
  const [newest, oldest] = [majors[0], majors.at(-1)!];
  throw new BuildError(
    expected('NVIDIA driver', `${oldest.driver} or newer, which serves CUDA ${oldest.cuda}`, driver) +
      `. Install a newer driver; ${newest.driver} or newer serves CUDA ${newest.cuda}, too.`,
  );
}
