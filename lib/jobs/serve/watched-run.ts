import { readdir, stat } from 'node:fs/promises';
import { join } from 'node:path';

import { RunLock } from '../../files/lock.js';
import { readRunView, type ReadMetrics, type RunView } from '../report/run-view.js';
import { endOf, readAppended, type Place } from './metrics-tail.js';
import { RunTally, type Tally } from './run-tally.js';

/** How far somebody has read a run. */
export interface Position {
  /** Of what is read now: another one where a resumed run has cut its metrics, or the server began anew. */
  edition: string;
  /** Of what changes beside the metrics, such as grids and the state. */
  version: number;
  /** Steps. */
  steps: number;
}

let editions = 0;
/** Of this process: no other server's editions are called like its own. */
const server = Date.now().toString(36);

/**
 * A run's folder that is read again and again. What was appended is read alone; all of it where something else has
 * changed.
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
    // A copy: what is read next is added in the midst of whatever is done with it.
    return { ...this.#view, metrics: [...this.#metrics] };
  }

  get tally(): Tally {
    return this.#tally.read();
  }

  get position(): Position {
    return { edition: this.#edition, version: this.#version, steps: this.#metrics.length };
  }

  /** The steps after a position; undefined where what was read up to there is no longer so. */
  since({ edition, version, steps }: Position): readonly ReadMetrics[] | undefined {
    const isSame = edition === this.#edition && version === this.#version && steps <= this.#metrics.length;
    return isSame ? this.#metrics.slice(steps) : undefined;
  }

  /** Reads what is new. Of several that ask at a time the first one reads for all. @throws what {@link open} throws */
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
      // What was read as a whole may have been read beyond its place.
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

/** What changes in between is seen the next time: its marks and its place are older than what is read. */
async function readWhole(directory: string): Promise<Reading> {
  const marks = await marksOf(directory);
  const place = await endOf(metricsOf(directory));
  return { view: await readRunView(directory), place, marks };
}

/** Whatever is different where something but metrics was written. */
async function marksOf(directory: string): Promise<string> {
  const names = ['config.json', 'recipe.json', 'run.json', 'evaluation.json'];
  const times = names.map((name) =>
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
