// This file chooses the LibTorch that is fetched, and writes the request by which pip fetches it.

import { expected } from '../../schema/validate.js';
import { ConfigError } from '../../errors.js';
import type { Variant } from '../../runtime/native/libtorch.js';
import type { CudaMajor } from './cuda-driver.js';

const defaultVersion: Record<Variant, string> = { cpu: '2.13.0', cuda: '2.14.1' };

// PyPI's Linux wheel of torch is a CUDA 13 build; CPU builds, whose version ends in +cpu, and CUDA 12 builds are in
// PyTorch's own indexes. A version with a local part cannot be uploaded to PyPI, so the added index cannot be shadowed,
// nor shadow anything.
const index = (build: string): string[] => [`--extra-index-url=https://download.pytorch.org/whl/${build}`];
const cuda12Builds = ['cu126', 'cu128', 'cu129'];

/** The version to fetch: EAM_TORCH_LIBTORCH_VERSION, or the one this package is tested with. */
export function versionToFetch(variant: Variant): string {
  const version = process.env['EAM_TORCH_LIBTORCH_VERSION'] || defaultVersion[variant];
  if (!/^2\.1[1-4]\.\d+$/.test(version)) {
    throw new ConfigError(
      expected(
        'EAM_TORCH_LIBTORCH_VERSION',
        `a version from 2.11.0 to 2.14.x, such as ${defaultVersion[variant]}`,
        version,
      ),
    );
  }
  return version;
}

/** What pip is asked for, best first; each is tried until one is found. */
export function pipAttempts(
  variant: Variant,
  version: string,
  { platform = process.platform, cuda = 13 }: { platform?: NodeJS.Platform; cuda?: CudaMajor } = {},
): string[][] {
  const plain = [`torch==${version}`];
  // The libraries do not depend on the Python that runs pip, which may be one that has no wheel of this torch.
  const anyPython = (attempt: string[]) => [attempt, [...attempt, '--only-binary=:all:', '--python-version=3.12']];
  if (platform === 'linux' && variant === 'cpu')
    return [...anyPython([`torch==${version}+cpu`, ...index('cpu')]), plain];
  if (variant === 'cpu' || cuda === 13) return anyPython(plain);
  return cuda12Builds.flatMap((build) => anyPython([`torch==${version}+${build}`, ...index(build)]));
}

/** The CUDA version in a wheel's version.py, undefined for a CPU build. */
export function cudaVersion(versionFile: string): string | undefined {
  return /^cuda(?::[^=]*)?\s*=\s*'([\d.]+)'/m.exec(versionFile)?.[1];
}
