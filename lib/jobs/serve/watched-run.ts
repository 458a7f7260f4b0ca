import { readdir, stat } from 'node:fs/promises';
import { join } from 'node:path';

import { RunLock } from '../../files/lock.js';
import { readRunView, viewedFiles, type ReadMetrics, type RunView } from '../report/run-view.js';
import { endOf, readAppended, type Place } from './metrics-tail.js';
import { RunTally, type Tally } from './run-tally.js';

/** How far somebody has read a run. */
export interface Position {
  /**
   * The name of the metrics that were read. It changes when a resumed run cuts them, and when the server begins anew.
   */
  edition: string;
  /** A number that rises with every change beside the metrics, such as a new grid or another state. */
  version: number;
  /** How many steps were read. */
  steps: number;
}

let editions = 0;
/** The names of this process's editions begin with it, so that no other server has editions of the same names. */
const server = Date.now().toString(36);

/**
 * A run's folder that is read again and again. Where only metrics were appended, these lines alone are read; where
 * anything else has changed, the whole folder is.
 */
export class WatchedRun {
  #view: RunView;
  #metrics: ReadMetrics[];
  #tally: RunTally;
  #place: Place;
  #marks: string;
  #edition = editionName();
  #version = 0;
  #reading: Promise<void> | undefined;

  private constructor(
    readonly directory: string,
    { view, place, marks }: Reading,
  ) {
    this.#view = view;
    this.#metrics = [...view.metrics];
    this.#tally = RunTally.of(view);
    this.#place = place;
    this.#marks = marks;
  }

  /** @throws what {@link readRunView} throws */
  static async open(directory: string): Promise<WatchedRun> {
    return new WatchedRun(directory, await readWhole(directory));
  }

  /** The run as it was read last. */
  get view(): RunView {
    // This is a copy, since the next read may add to the metrics while somebody still uses them.
    return { ...this.#view, metrics: [...this.#metrics] };
  }

  get tally(): Tally {
    return this.#tally.read();
  }

  get position(): Position {
    return { edition: this.#edition, version: this.#version, steps: this.#metrics.length };
  }

  /** The steps after a position; undefined where what was read up to there no longer holds. */
  since({ edition, version, steps }: Position): readonly ReadMetrics[] | undefined {
    const isSame = edition === this.#edition && version === this.#version && steps <= this.#metrics.length;
    return isSame ? this.#metrics.slice(steps) : undefined;
  }

  /**
   * Reads what is new. Where several ask at the same time, the first one reads for all of them.
   * @throws what {@link open} throws
   */
  update(): Promise<void> {
    this.#reading ??= this.#update().finally(() => {
      this.#reading = undefined;
    });
    return this.#reading;
  }

  async #update(): Promise<void> {
    const marks = await marksOf(this.directory);
    const { rows, place } = await readAppended(metricsOf(this.directory), this.#place);
    if (rows && marks === this.#marks) {
      this.#place = place;
      this.#append(rows);
      return;
    }
    const whole = await readWhole(this.directory);
    if (!rows) this.#edition = editionName();
    this.#version++;
    this.#view = whole.view;
    this.#metrics = [...whole.view.metrics];
    this.#tally = RunTally.of(whole.view);
    this.#place = whole.place;
    this.#marks = whole.marks;
  }

  #append(rows: readonly object[]): void {
    for (const row of rows) {
      const { step } = row as Partial<ReadMetrics>;
      // The whole folder may have been read beyond its place, so that some steps are known already.
      if (typeof step !== 'number' || step <= (this.#metrics.at(-1)?.step ?? 0)) continue;
      this.#metrics.push(row as ReadMetrics);
      this.#tally.add(row);
    }
  }
}

interface Reading {
  view: RunView;
  place: Place;
  marks: string;
}

/**
 * Reads the whole folder. Its marks and its place are taken before the rest is read, so that a change in between is
 * seen the next time.
 */
async function readWhole(directory: string): Promise<Reading> {
  const marks = await marksOf(directory);
  const place = await endOf(metricsOf(directory));
  return { view: await readRunView(directory), place, marks };
}

/** A text that changes whenever anything but metrics was written. */
async function marksOf(directory: string): Promise<string> {
  const times = viewedFiles.map((name) =>
    stat(join(directory, name)).then(
      ({ mtimeMs, ino }) => `${ino}@${mtimeMs}`,
      () => '',
    ),
  );
  const grids = readdir(join(directory, 'samples')).then(
    (found) => found.filter((name) => name.endsWith('.png')).length,
    () => 0,
  );
  return JSON.stringify([...(await Promise.all(times)), await grids, RunLock.isHeld(directory)]);
}

const metricsOf = (directory: string): string => join(directory, 'metrics.jsonl');
const editionName = (): string => `${server}${++editions}`;
