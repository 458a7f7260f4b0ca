// Where built addons are, what each says of itself, and whether it can be for this system.

import { createHash } from 'node:crypto';
import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { join, resolve } from 'node:path';

import { NativeLoadError } from '../../errors.js';
import { packageDirectory } from '../package.js';
import { minorOf, type Variant } from './libtorch.js';

/** A built addon: eam_torch.node, eam_loader.node and eam_torch.json in one folder. */
export interface Addon extends AddonDescription {
  directory: string;
}

/** eam_torch.json: what the build says of itself, and what `npm run prebuild` measured. */
export interface AddonDescription {
  variant: Variant;
  /** The LibTorch that it was compiled against. */
  libtorch: string;
  /** The CUDA toolkit that compiled it, such as '13.0', and its architectures in CMake's notation. */
  cuda?: string;
  architectures?: string[];
  /** Only of prebuilt ones, from here on. */
  prebuilt?: {
    platform: string;
    /** The commit that it was built from. */
    revision: string;
    /** The newest symbol versions that the binaries ask for, such as { GLIBC: '2.17' }. */
    floors: Record<string, string>;
    /** The SHA-256 of each file, in hexadecimal. */
    sha256: Record<string, string>;
    bytes: Record<string, number>;
  };
}

export interface RejectedAddon {
  directory: string;
  rejected: string;
}

export const addonFiles = ['eam_torch.node', 'eam_loader.node'] as const;

// CUDA first: it serves the CPU too. EAM_TORCH_VARIANT takes one of them only.
const variants: readonly Variant[] = ['cuda', 'cpu'];

function wantedVariants(): readonly Variant[] {
  const wanted = process.env['EAM_TORCH_VARIANT'];
  if (!wanted) return variants;
  const found = variants.filter((variant) => variant === wanted);
  // In the words of schema/validate.ts, which brings more than may be loaded before the core is.
  if (found.length === 0) {
    throw new NativeLoadError(`EAM_TORCH_VARIANT: expected one of ${variants.join(', ')}, got ${wanted}`);
  }
  return found;
}

/** Folders of prebuilt addons, `libtorch-2.14-cuda`: those of the variant first that comes first, the newest first. */
function prebuiltDirectories(wanted: readonly Variant[]): string[] {
  const folder = join(packageDirectory, 'prebuilds', `${process.platform}-${process.arch}`);
  const names = existsSync(folder) ? readdirSync(folder).sort().reverse() : [];
  return wanted.flatMap((variant) =>
    names.filter((name) => name.endsWith(`-${variant}`)).map((name) => join(folder, name)),
  );
}

function inspectAddon(directory: string): Addon | RejectedAddon {
  if (!existsSync(join(directory, 'eam_torch.node'))) return { directory, rejected: 'not built' };
  let description: AddonDescription;
  try {
    description = JSON.parse(readFileSync(join(directory, 'eam_torch.json'), 'utf8')) as AddonDescription;
    minorOf(description.libtorch);
  } catch (error) {
    return { directory, rejected: `eam_torch.json cannot be read (${(error as Error).message})` };
  }
  return { ...description, directory };
}

/**
 * What was built here, build/cuda and build/cpu of the package, and then what came prebuilt with it.
 * EAM_TORCH_BUILD_DIR names one folder to use instead, EAM_TORCH_VARIANT one variant.
 * @throws NativeLoadError where EAM_TORCH_VARIANT is no variant
 */
export function findAddons(): (Addon | RejectedAddon)[] {
  const override = process.env['EAM_TORCH_BUILD_DIR'];
  if (override) return [inspectAddon(resolve(override))];
  const wanted = wantedVariants();
  return [...wanted.map((variant) => join(packageDirectory, 'build', variant)), ...prebuiltDirectories(wanted)].map(
    inspectAddon,
  );
}

const older = (a: string, b: string): boolean => {
  const [x, y] = [a, b].map((version) => version.split('.').map(Number));
  return x![0]! < y![0]! || (x![0] === y![0] && x![1]! < y![1]!);
};

/** Why a prebuilt addon is not what was published, or not for this system; undefined where it may be tried. */
export function prebuiltProblem({ directory, prebuilt }: Addon): string | undefined {
  if (!prebuilt) return undefined;
  const { header } = process.report.getReport() as { header?: { glibcVersionRuntime?: string } };
  const glibc = header?.glibcVersionRuntime;
  const needed = prebuilt.floors['GLIBC'];
  if (process.platform === 'linux' && needed !== undefined) {
    if (glibc === undefined) return `it needs glibc ${needed}, and this system's C library is another one`;
    if (older(glibc, needed)) return `it needs glibc ${needed}, and this system has ${glibc}`;
  }
  for (const [name, expected] of Object.entries(prebuilt.sha256)) {
    try {
      const found = createHash('sha256')
        .update(readFileSync(join(directory, name)))
        .digest('hex');
      if (found !== expected)
        return `${name} is damaged: its SHA-256 is ${found}, and ${expected} was published. Install the package again`;
    } catch (error) {
      return `${name} cannot be read (${(error as Error).message})`;
    }
  }
  return undefined;
}
