import { existsSync, rmdirSync } from 'node:fs';
import { appendFile, readFile, readdir } from 'node:fs/promises';
import { join } from 'node:path';

import { listCheckpoints, newestWholeCheckpoint, replaceFile, type Checkpoint } from '../files/checkpoints.js';
import { readJson } from '../schema/json.js';
import { CheckpointError, EamError } from '../errors.js';
import { fetchHint, placeOf } from '../files/hub-cache.js';
import { evaluationScalars, scalarsOf } from '../training/metric-names.js';
import { openLogs, type LogNames } from './logging/settings.js';
import type { LoggedRun, RunLog } from './logging/run-log.js';
import { SeveralLogs } from './logging/several-logs.js';
import { lockName, RunLock } from '../files/lock.js';
import { makeDirectory } from '../runtime/make-directory.js';
import { checkOverwritable, refuseExisting, removeRun, type Existing } from './existing-output.js';
import { writeStatus } from './run-status.js';

/** Options of {@link RunDirectory.open}. */
export interface OpenOptions {
  resume: boolean;
  /** The file that a run writes first. */
  record: string;
  /** Whether the file's JSON is that of such a run: other things have a config.json, too. */
  isRecord: (json: unknown) => boolean;
  /** What becomes of a new run where the folder holds something; default 'number'. */
  existing?: Existing | undefined;
  /** Told where a new run is written to another folder. */
  onNumbered?: ((line: string) => void) | undefined;
  /** Told of each checkpoint that is passed over. */
  onRejected: (error: CheckpointError) => void;
}

/** What {@link RunDirectory.open} found. */
export interface OpenedRun {
  directory: RunDirectory;
  /** Where a resumed run goes on. */
  checkpoint: Checkpoint | undefined;
  /** Whether a resumed run has to begin again. */
  restarted: boolean;
}

/**
 * The folder that one run writes: config.json, run.json, metrics.jsonl, checkpoints/, samples/, evaluation.json,
 * report.html, the logs that its configuration names; and, while the run goes on, lock.
 */
export class RunDirectory {
  #lock: RunLock | undefined;
  #logs: RunLog = new SeveralLogs([]);
  /** Whether it was not there before. */
  #isNew = false;
  /** Whether it holds an earlier run, which is removed when this one begins to write: until then it may fail. */
  #isOverwritten = false;
  /** Whether this process has begun the run or gone on with it, and not only opened its directory. */
  hasBegun = false;

  private constructor(readonly path: string) {}

  /**
   * The directory that a job writes to, locked: a new one; or, to resume, the one at `path` with its newest whole
   * checkpoint, or none of a run that was killed before it wrote one and has to begin again.
   * @throws CheckpointError where another process writes to it, or there is nothing to resume
   */
  static async open(path: string, options: OpenOptions): Promise<OpenedRun> {
    const { resume, record, isRecord, onRejected } = options;
    if (!resume) {
      const created = await RunDirectory.createAs(path, options.existing, options.onNumbered);
      return { directory: created, checkpoint: undefined, restarted: false };
    }
    const directory = new RunDirectory(path);
    directory.lock();
    try {
      if (await RunDirectory.withoutCheckpoint(path, record, isRecord))
        return { directory, checkpoint: undefined, restarted: true };
      const { checkpoint } = await RunDirectory.withCheckpoint(path, onRejected);
      return { directory, checkpoint, restarted: false };
    } catch (error) {
      directory.unlock();
      throw error;
    }
  }

  /**
   * A directory for a new run, locked.
   * @param existing what becomes of `path` where it holds something
   * @throws ConfigError where that is to be refused, CheckpointError where `path` cannot be overwritten
   */
  static async createAs(
    path: string,
    existing: Existing = 'number',
    onNumbered: (line: string) => void = () => {},
  ): Promise<RunDirectory> {
    if (existing === 'refuse') await refuseExisting(path);
    if (existing === 'overwrite' && existsSync(path)) {
      await checkOverwritable(path);
      const directory = new RunDirectory(path);
      directory.lock();
      directory.#isOverwritten = true;
      return directory;
    }
    const created = await RunDirectory.create(path);
    if (created.path !== path) onNumbered(`${path} is there already: this run is another, ${created.path}`);
    return created;
  }

  /**
   * A directory for a new run, locked. Where `path` already holds something, `path-2`, `path-3` … is taken instead: a
   * run never writes over another.
   */
  static async create(path: string): Promise<RunDirectory> {
    for (let number = 1; ; number++) {
      const candidate = number === 1 ? path : `${path}-${number}`;
      const entries = await readdir(candidate).catch((error: NodeJS.ErrnoException) => {
        if (error.code === 'ENOENT') return [];
        // A file that has the name by chance is as good as a run.
        if (error.code === 'ENOTDIR' && number > 1) return [candidate];
        throw new CheckpointError(`${candidate} cannot be read: ${error.message}`, { cause: error });
      });
      if (!isEmpty(entries)) continue;
      const directory = new RunDirectory(candidate);
      try {
        directory.#isNew = makeDirectory(candidate) !== undefined;
        directory.#lock = RunLock.take(candidate);
      } catch (error) {
        directory.unlock();
        if (error instanceof EamError) throw error;
        throw new CheckpointError(`${candidate} could not be made: ${(error as Error).message}`, { cause: error });
      }
      // Taken by another process since it was looked at.
      if (directory.#lock && isEmpty(await readdir(candidate))) return directory;
      directory.unlock();
    }
  }

  /** The directory of a run that is there already. */
  static existing(path: string): RunDirectory {
    return new RunDirectory(path);
  }

  /**
   * The directory of a run that was killed before it wrote a checkpoint, and can only begin again; `undefined` where
   * there is none, or it has checkpoints.
   * @param record the file that a run writes first
   * @param isRecord whether the file's JSON is that of such a run: other things have a config.json, too
   */
  static async withoutCheckpoint(
    path: string,
    record: string,
    isRecord: (json: unknown) => boolean,
  ): Promise<RunDirectory | undefined> {
    const directory = new RunDirectory(path);
    if ((await listCheckpoints(directory.checkpoints)).length) return undefined;
    const names = await readdir(path).catch(() => undefined);
    // Killed before the record was in place.
    const empty = names !== undefined && isEmpty(names.filter((name) => name !== `${record}.tmp`));
    return empty || isRecord(await readJson(join(path, record)).catch(() => undefined)) ? directory : undefined;
  }

  /**
   * The directory of a run, and the newest whole checkpoint in it.
   * @throws CheckpointError if there is none
   */
  static async withCheckpoint(
    path: string,
    onRejected?: (error: CheckpointError) => void,
  ): Promise<{ directory: RunDirectory; checkpoint: Checkpoint }> {
    const directory = new RunDirectory(path);
    const rejected: CheckpointError[] = [];
    const checkpoint = await newestWholeCheckpoint(directory.checkpoints, (error) => {
      rejected.push(error);
      onRejected?.(error);
    });
    if (!checkpoint) {
      const reasons = rejected.map((error) => `\n  ${error.message}`).join('');
      throw new CheckpointError(`${path} has no ${reasons ? `whole checkpoint:${reasons}` : 'checkpoint'}`);
    }
    return { directory, checkpoint };
  }

  /**
   * Keeps other processes from writing here until `unlock`, or until this one ends. @throws CheckpointError where one
   * does
   */
  lock(): void {
    // Whoever looks for a run says that there is none.
    if (!existsSync(this.path)) return;
    this.#lock = RunLock.take(this.path);
    if (this.#lock) return;
    throw new CheckpointError(
      `${this.path} is being written to by ${RunLock.holder(this.path)}: wait until that has ended, or name ` +
        'another output',
    );
  }

  /** Leaves nothing behind of a run that wrote nothing. */
  unlock(): void {
    this.#lock?.release();
    this.#lock = undefined;
    if (!this.#isNew) return;
    try {
      rmdirSync(this.path);
    } catch {
      // It holds a run.
    }
  }

  /** Sends to these logs, too, what is written here from now on of metrics, samples and the configuration. */
  logTo(names: LogNames, run: Omit<LoggedRun, 'directory'>): void {
    this.#logs = openLogs(names, { ...run, directory: this.path });
  }

  /** Makes a run here, and ends its logs and gives up the lock however it ends. */
  async during<Result>(run: () => Promise<Result>): Promise<Result> {
    let whole = false;
    try {
      const result = await run();
      whole = true;
      return result;
    } finally {
      await this.#logs.close(whole);
      this.unlock();
    }
  }

  /** The run's logs, to which a caller writes what no file of the run holds. */
  get logs(): RunLog {
    return this.#logs;
  }

  get checkpoints(): string {
    return join(this.path, 'checkpoints');
  }

  get metricsFile(): string {
    return join(this.path, 'metrics.jsonl');
  }

  async writeConfig(config: object, record = 'config.json'): Promise<void> {
    await this.write(record, `${JSON.stringify(config, null, 2)}\n`);
    this.hasBegun = true;
    await writeStatus(this.path, { state: 'running' });
    await this.#logs.config(config);
  }

  async appendMetrics(metrics: { step: number }): Promise<void> {
    try {
      await appendFile(this.metricsFile, `${JSON.stringify(metrics)}\n`);
    } catch (error) {
      throw new CheckpointError(`${this.metricsFile} could not be written: ${(error as Error).message}`, {
        cause: error,
      });
    }
    await this.#logs.scalars(metrics.step, scalarsOf(metrics));
  }

  async readMetrics<Metrics extends { step: number }>(): Promise<Metrics[]> {
    const text = await readFile(this.metricsFile, 'utf8').catch((error: NodeJS.ErrnoException) => {
      if (error.code === 'ENOENT') return '';
      // A file that cannot be read is not an empty one: going on would write over its metrics.
      throw new CheckpointError(`cannot read ${this.metricsFile}: ${error.message}`, { cause: error });
    });
    return text.split('\n').flatMap((line) => {
      try {
        const metrics = JSON.parse(line) as Metrics | null;
        return typeof metrics?.step === 'number' ? [metrics] : [];
      } catch {
        // The last line of a run that was killed while writing it.
        return [];
      }
    });
  }

  /**
   * Forgets what was logged after `step`: the resumed run logs it again.
   * @param last metrics of that step, from its checkpoint, for a run that stopped before it logged them
   */
  async rewindMetrics(step: number, last?: object | null): Promise<void> {
    const kept: object[] = (await this.readMetrics()).filter((metrics) => metrics.step <= step);
    if (last && (kept.at(-1) as { step: number } | undefined)?.step !== step) kept.push(last);
    await replaceFile(this.metricsFile, kept.map((metrics) => `${JSON.stringify(metrics)}\n`).join(''));
    await this.#logs.rewind(step);
    if (last) await this.#logs.scalars(step, scalarsOf(last));
  }

  async writeSamples(step: number, png: Uint8Array): Promise<string> {
    const path = this.samples(step);
    try {
      makeDirectory(join(this.path, 'samples'));
    } catch (error) {
      throw new CheckpointError(`${path} could not be written: ${(error as Error).message}`, { cause: error });
    }
    await replaceFile(path, png);
    await this.#logs.image(step, png, path);
    return path;
  }

  /** Writes how the panel is drawn and what it measured of the pretrained model, which the logs have at step 0. */
  async writePanel(panel: { baseline: object }): Promise<void> {
    const isNew = !existsSync(join(this.path, 'panel.json'));
    await this.write('panel.json', `${JSON.stringify(panel, null, 2)}\n`);
    if (isNew) await this.#logs.scalars(0, scalarsOf({ panel: { baseline: panel.baseline } }));
  }

  /** Writes what was measured on a run's last step. */
  async writeEvaluation(step: number, evaluation: object): Promise<void> {
    await this.write('evaluation.json', `${JSON.stringify(evaluation, null, 2)}\n`);
    await this.#logs.summary(step, evaluationScalars(evaluation));
  }

  samples(step: number): string {
    return join(this.path, 'samples', `step-${step}.png`);
  }

  async write(name: string, text: string): Promise<string> {
    if (this.#isOverwritten) await removeRun(this.path);
    this.#isOverwritten = false;
    const path = join(this.path, name);
    await replaceFile(path, text);
    return path;
  }
}

/** But for the lock, which whoever looks may hold. */
const isEmpty = (names: readonly string[]): boolean => names.every((name) => name === lockName);

/**
 * An adapter's own directory, or the newest whole checkpoint of a run's.
 * @param source its path, or its name on the hub where it is in the cache
 * @throws CheckpointError where a run's checkpoints are all damaged, or the cache does not have the name
 */
export async function adapterDirectory(source: string, onRejected: (error: CheckpointError) => void): Promise<string> {
  const path = placeOf(source);
  if (!existsSync(path)) throw new CheckpointError(`there is no adapter at ${source}${fetchHint(source)}`);
  if ((await listCheckpoints(join(path, 'checkpoints'))).length === 0) return path;
  return (await RunDirectory.withCheckpoint(path, onRejected)).checkpoint.directory;
}
