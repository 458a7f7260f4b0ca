import { stat } from 'node:fs/promises';
import { extname } from 'node:path';

import { CheckpointError } from '../errors.js';
import { contentsHash, sha256 } from './content.js';

/** How a file was when it was loaded. */
interface Mark {
  inode: bigint;
  size: bigint;
  changed: bigint;
}

/** The files that something was loaded from: what they held, and whether somebody has written to them since. */
export class Origin {
  #identity: Promise<string> | undefined;

  private constructor(
    private readonly marks: ReadonlyMap<string, Mark | undefined>,
    private readonly settings: unknown,
  ) {}

  /** @param settings what else it is made of; JSON */
  static async of(files: readonly string[], settings: unknown = null): Promise<Origin> {
    return new Origin(
      new Map(await Promise.all(files.map(async (path) => [path, await markOf(path)] as const))),
      settings,
    );
  }

  /** @param settings all that something is made of that comes from no file; JSON */
  static ofSettings(settings: unknown): Origin {
    return new Origin(new Map(), settings);
  }

  /** A fingerprint of the files' contents and the settings. @throws CheckpointError for a file that cannot be read */
  identity(): Promise<string> {
    this.#identity ??= contentsHash([...this.marks.keys()]).then((contents) =>
      sha256(JSON.stringify([contents, this.settings])),
    );
    return this.#identity;
  }

  /**
   * Weights are mapped: what is written into their file is computed with from then on. One that was replaced by another
   * file, or removed, is still the old one to whoever has mapped it.
   * @throws CheckpointError that names the file
   */
  async refuseChanged(): Promise<void> {
    for (const [path, before] of this.marks) {
      if (extname(path) !== '.safetensors') continue;
      const now = before && (await markOf(path));
      if (!now || now.inode !== before.inode || (now.size === before.size && now.changed === before.changed)) continue;
      throw new CheckpointError(
        `${path} was written to while it was in use; put the file back as it was, and replace files by renaming ` +
          'others to them',
      );
    }
  }
}

const markOf = (path: string): Promise<Mark | undefined> =>
  stat(path, { bigint: true }).then(
    ({ ino, size, mtimeNs }) => ({ inode: ino, size, changed: mtimeNs }),
    () => undefined,
  );

const origins = new WeakMap<object, () => Promise<Origin>>();

/**
 * Remembers what `made` is loaded from, unless it is known already: a module may export a reward of this package.
 * @param find is called once, by whoever asks first: before the files are opened, to see what is written to them after
 */
export function setOrigin(made: object, find: () => Promise<Origin>): void {
  if (origins.has(made)) return;
  let found: Promise<Origin> | undefined;
  origins.set(made, () => (found ??= find()));
}

/** Remembers another origin of `made` than the one that is known. */
export function replaceOrigin(made: object, find: () => Promise<Origin>): void {
  origins.delete(made);
  setOrigin(made, find);
}

/**
 * What a model or a reward is loaded from; undefined of one that a program made itself.
 * @throws CheckpointError, ConfigError where its files are not there
 */
export const originOf = async (made: object): Promise<Origin | undefined> => origins.get(made)?.();
