import { appendFile, readdir, readFile, truncate } from 'node:fs/promises';
import { hostname } from 'node:os';
import { join } from 'node:path';

import { CheckpointError } from '../../errors.js';
import { makeDirectory } from '../../runtime/make-directory.js';
import { contentsOf, restartEvent, versionEvent } from './events.js';
import { recordOf, recordsIn } from './records.js';

/** By this TensorBoard knows a file of events. */
const prefix = 'events.out.tfevents.';

/** The events of one run, in a folder that TensorBoard reads: a file for each time that the run went on. */
export class EventFile {
  #path: string | undefined;
  /** The step after which a resumed run goes on. */
  #resumedAt: number | undefined;
  /** The steps and tags that are in the folder already. */
  #known = new Set<string>();

  constructor(private readonly folder: string) {}

  /** Writes an event, unless the run wrote it before it stopped. @throws CheckpointError where it cannot be written */
  async append(event: Uint8Array): Promise<void> {
    const contents = contentsOf(event);
    if (contents.tags.length === 0 || keysOf(contents).every((key) => this.#known.has(key))) return;
    const events = this.#path === undefined ? [...this.#begin(await filesIn(this.folder)), event] : [event];
    try {
      makeDirectory(this.folder);
      await appendFile(this.#path!, Buffer.concat(events.map(recordOf)));
    } catch (error) {
      throw new CheckpointError(`${this.#path} could not be written: ${(error as Error).message}`, { cause: error });
    }
    for (const key of keysOf(contents)) this.#known.add(key);
  }

  /** Names the file of this process, and gives its first events. */
  #begin(earlier: readonly string[]): Uint8Array[] {
    // TensorBoard reads files in the order of their names: none may come before one that is there.
    const now = Math.floor(Date.now() / 1000);
    const last = Number(earlier.at(-1)?.slice(prefix.length).split('.', 1)[0] ?? 0);
    const seconds = String(Math.max(now, last + 1)).padStart(10, '0');
    this.#path = join(this.folder, `${prefix}${seconds}.${hostname()}.${process.pid}`);
    return [versionEvent(), ...(this.#resumedAt === undefined ? [] : [restartEvent(this.#resumedAt + 1)])];
  }

  /**
   * Forgets the events after `step`, and what a run that was killed left half written: they come again.
   * @throws CheckpointError where a file cannot be read or written
   */
  async rewind(step: number): Promise<void> {
    this.#resumedAt = step;
    this.#known = new Set();
    for (const name of await filesIn(this.folder)) {
      const path = join(this.folder, name);
      try {
        const file = await readFile(path);
        const records = recordsIn(file).map(({ data, end }) => ({ ...contentsOf(data), end }));
        // What an earlier process wrote when it went on after `step` says so of the step that comes next.
        const cut = records.findIndex((record) => record.step > step && (record.step > step + 1 || record.tags.length));
        const kept = cut < 0 ? records : records.slice(0, cut);
        const end = kept.at(-1)?.end ?? 0;
        if (end < file.length) await truncate(path, end);
        for (const record of kept) for (const key of keysOf(record)) this.#known.add(key);
      } catch (error) {
        throw new CheckpointError(`${path} could not be rewound: ${(error as Error).message}`, { cause: error });
      }
    }
  }
}

const keysOf = ({ step, tags }: { step: number; tags: readonly string[] }): string[] =>
  tags.map((tag) => `${step} ${tag}`);

const filesIn = (folder: string): Promise<string[]> =>
  readdir(folder).then(
    (names) => names.filter((name) => name.startsWith(prefix)).sort(),
    () => [],
  );
