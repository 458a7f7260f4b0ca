// Finds the addon and a LibTorch of its version, opens both. Everything that was tried ends in one error message.

import { NativeLoadError } from '../../errors.js';
import { type Addon, findAddons, type RejectedAddon } from './addons.js';
import {
  describeCandidate,
  howToDownload,
  inspectDirectory,
  isOverride,
  type LibTorch,
  type LibTorchCandidate,
  libtorchCandidates,
  minorOf,
  overrideVariable,
  reject,
  type Variant,
} from './libtorch.js';
import { type AddonExports, open } from './open.js';
import { trial } from './trial.js';

export type { Addon, RejectedAddon } from './addons.js';

/** What is loaded and what was tried on the way. */
export interface Loaded {
  binding: AddonExports;
  addon: Addon;
  libtorch: LibTorch;
}

/** Everything `eam doctor` prints about the native side. */
export interface Inspection {
  addons: (Addon | RejectedAddon)[];
  candidates: LibTorchCandidate[];
  loaded?: { addon: Addon; libtorch: LibTorch };
  /** The message of the NativeLoadError, where nothing could be loaded. */
  error?: string;
}

/** Why the addon cannot go with this LibTorch, from what both say of themselves. */
function mismatch(candidate: LibTorch, addon: Addon): string | undefined {
  if (minorOf(candidate.version) !== minorOf(addon.libtorch)) {
    return (
      `version ${candidate.version}, but the ${addon.variant} addon was built against ${addon.libtorch} and needs ` +
      `${minorOf(addon.libtorch)}.x`
    );
  }
  if (addon.variant === 'cuda' && candidate.variant !== 'cuda') return 'a CPU build; the cuda addon needs a CUDA one';
  return undefined;
}

/** The candidates so far, read on only as far as needed, however many addons are tried. */
class Candidates {
  private readonly source = libtorchCandidates();
  private readonly known: LibTorchCandidate[] = [];

  *[Symbol.iterator](): Generator<LibTorchCandidate> {
    for (let index = 0; ; ++index) {
      if (index === this.known.length) {
        const next = this.source.next();
        if (next.done) return;
        this.known.push(next.value);
      }
      yield this.known[index]!;
    }
  }
}

/** `2.13 (cpu) or 2.14 (cpu, cuda)` */
function servedVersions(addons: readonly Addon[]): string {
  const byMinor = new Map<string, Set<string>>();
  for (const { libtorch, variant } of addons)
    byMinor.set(minorOf(libtorch), (byMinor.get(minorOf(libtorch)) ?? new Set()).add(variant));
  return [...byMinor]
    .sort(([a], [b]) => (a < b ? -1 : 1))
    .map(([minor, served]) => `${minor} (${[...served].sort().join(', ')})`)
    .join(' or ');
}

const isUsable = (addon: Addon | RejectedAddon): addon is Addon => !('rejected' in addon);

function failure({ addons, tried }: Attempt): NativeLoadError {
  const usable = addons.filter(isUsable);
  const lines = ['eam-torch could not load its native core.', '', 'Native addon:'];
  for (const addon of addons) {
    lines.push(
      isUsable(addon)
        ? `  - ${addon.directory} (${addon.variant}, needs LibTorch ${minorOf(addon.libtorch)}.x)`
        : `  - ${addon.directory}: ${addon.rejected}`,
    );
  }
  if (tried.length > 0) lines.push('', 'LibTorch:', ...tried.map(describeCandidate));
  const fixes: [command: string, what: string][] = [];
  if (tried.some(isOverride))
    fixes.push([`unset ${overrideVariable}`, 'it is set, so nothing else is taken in its place']);
  if (usable.length > 0) {
    fixes.push([
      `export ${overrideVariable}=/path/to/libtorch`,
      `the folder with lib/ of a LibTorch ${servedVersions(usable)}`,
    ]);
    fixes.push(['npx eam libtorch', "fetches one with python3's pip, where it is found; needs no compiler"]);
    if (usable.some(({ variant }) => variant === 'cuda'))
      fixes.push(['npx eam libtorch --variant cuda', "the same for a GPU, with all of CUDA's libraries"]);
  }
  fixes.push(['npx eam build', 'finds or fetches a LibTorch and builds the addon for it']);
  const width = Math.max(...fixes.map(([command]) => command.length));
  lines.push(
    '',
    'To fix it, do one of these:',
    ...fixes.map(([command, what]) => `  ${command.padEnd(width)}  # ${what}`),
  );
  // The newest first, since that is what the page gives.
  const cpu = usable
    .filter(({ variant }) => variant === 'cpu')
    .map(({ libtorch }) => libtorch.replace(/\+.*/, ''))
    .sort()
    .at(-1);
  if (usable.length > 0) lines.push('', `Without Python:\n  ${howToDownload(cpu)}`);
  lines.push('', '`npx eam doctor` prints all of this for a bug report.');
  return new NativeLoadError(lines.join('\n'));
}

interface Attempt {
  addons: (Addon | RejectedAddon)[];
  tried: LibTorchCandidate[];
  loaded?: Loaded;
}

/** Up to the candidate that was set on purpose: where that does not fit, nothing else is taken in its place. */
function* upToOverride(candidates: Iterable<LibTorchCandidate>): Generator<LibTorchCandidate> {
  for (const candidate of candidates) {
    yield candidate;
    if (isOverride(candidate)) return;
  }
}

/**
 * What goes with what, best first. Who built an addon wants it, with whichever LibTorch it fits; among those that came
 * with the package, the LibTorch that is preferred decides.
 */
function* pairs(
  addons: readonly (Addon | RejectedAddon)[],
  candidates: Iterable<LibTorchCandidate>,
): Generator<[Addon, LibTorchCandidate]> {
  const usable = addons.filter(isUsable);
  for (const addon of usable.filter((each) => !each.prebuilt))
    for (const candidate of upToOverride(candidates)) yield [addon, candidate];
  const prebuilt = usable.filter((each) => each.prebuilt);
  if (prebuilt.length === 0) return;
  for (const candidate of upToOverride(candidates)) for (const addon of prebuilt) yield [addon, candidate];
}

function attempt(): Attempt {
  const addons = findAddons();
  const reasons = new Map<LibTorchCandidate, { said: Set<string>; needed: Addon[] }>();
  const result = (loaded?: Loaded): Attempt => ({
    addons,
    tried: [...reasons].map(([candidate, { said, needed }]) => {
      if (candidate.rejected !== undefined || candidate === loaded?.libtorch) return candidate;
      const unfit =
        needed.length === 1
          ? mismatch(candidate, needed[0]!)
          : `version ${candidate.version}, ${candidate.variant}, and the addons here are for ${servedVersions(needed)}`;
      return reject(candidate, [...said, ...(said.size === 0 && unfit !== undefined ? [unfit] : [])].join('; '));
    }),
    ...(loaded ? { loaded } : {}),
  });

  for (const [addon, candidate] of pairs(addons, new Candidates())) {
    const index = addons.indexOf(addon);
    if (index === -1) continue; // it turned out to be unusable
    const known = reasons.get(candidate) ?? { said: new Set<string>(), needed: [] };
    reasons.set(candidate, known);
    if (candidate.rejected !== undefined) continue;
    if (mismatch(candidate, addon) !== undefined) {
      known.needed.push(addon);
      continue;
    }
    const opened = trial(addon, candidate) ?? open(addon, candidate);
    if ('binding' in opened) return result({ binding: opened.binding, addon, libtorch: candidate });
    if (opened.culprit === 'addon') addons[index] = { directory: addon.directory, rejected: opened.reason };
    else known.said.add(opened.reason);
  }
  return result();
}

/**
 * The addon, with the LibTorch that it needs.
 * @throws NativeLoadError with every candidate, why it was rejected, and the commands that help
 */
export function load(): Loaded {
  const made = attempt();
  if (!made.loaded) throw failure(made);
  return made.loaded;
}

/**
 * Loads an addon of this variant with the LibTorch in `directory`, in a process of its own.
 * @returns the folder of the addon that it was tried with, undefined where none is for it; why that does not load,
 * where it does not
 */
export function tryLibTorch(directory: string, variant: Variant): { addon?: string; reason?: string } {
  const libtorch = inspectDirectory('given', directory);
  if (libtorch.rejected !== undefined) return { reason: libtorch.rejected };
  const fits = (addon: Addon | RejectedAddon): addon is Addon =>
    isUsable(addon) && addon.variant === variant && mismatch(libtorch, addon) === undefined;
  const addon = findAddons().find(fits);
  if (!addon) return {};
  const failed = trial(addon, libtorch);
  return { addon: addon.directory, ...(failed && { reason: failed.reason }) };
}

/** What `load` finds, for `eam doctor`: every place, also those after the one that is taken. Never throws. */
export function inspect(): Inspection {
  try {
    const made = attempt();
    const { addons, tried, loaded } = made;
    if (!loaded) return { addons, candidates: tried, error: failure(made).message };
    const { addon, libtorch } = loaded;
    const others = [...libtorchCandidates()]
      .filter(
        (candidate) =>
          !tried.some((other) => other.source === candidate.source && other.directory === candidate.directory),
      )
      .map((candidate) => {
        const unfit = candidate.rejected === undefined ? mismatch(candidate, addon) : undefined;
        return candidate.rejected === undefined && unfit !== undefined ? reject(candidate, unfit) : candidate;
      });
    return { addons, candidates: [...tried, ...others], loaded: { addon, libtorch } };
  } catch (error) {
    return { addons: [], candidates: [], error: (error as Error).message };
  }
}
