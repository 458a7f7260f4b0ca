import { appendFile, mkdir, readFile, readdir } from 'node:fs/promises';
import { join } from 'node:path';

import { listCheckpoints, newestWholeCheckpoint, replaceFile, type Checkpoint } from './checkpoints.js';
import { readJson } from './config/read.js';
import { CheckpointError } from './errors.js';

/** What one run writes: config.json, metrics.jsonl, checkpoints/, samples/, evaluation.json, report.html. */
export class RunDirectory {
  private constructor(readonly path: string) {}

  /**
   * A directory for a new run. Where `path` already holds something, `path-2`, `path-3` … is taken instead: a run
   * never writes over another.
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
      if (entries.length) continue;
      try {
        await mkdir(candidate, { recursive: true });
      } catch (error) {
        throw new CheckpointError(`${candidate} could not be made: ${(error as Error).message}`, { cause: error });
      }
      return new RunDirectory(candidate);
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
  static async withoutCheckpoint(path: string, record: string, isRecord: (json: unknown) => boolean): Promise<RunDirectory | undefined> {
    const directory = new RunDirectory(path);
    if ((await listCheckpoints(directory.checkpoints)).length) return undefined;
    const names = await readdir(path).catch(() => undefined);
    // Killed before the record was in place.
    const empty = names?.every((name) => name === `${record}.tmp`) ?? false;
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

  get checkpoints(): string {
    return join(this.path, 'checkpoints');
  }

  get metricsFile(): string {
    return join(this.path, 'metrics.jsonl');
  }

  async writeConfig(config: unknown): Promise<void> {
    await replaceFile(join(this.path, 'config.json'), `${JSON.stringify(config, null, 2)}\n`);
  }

  async appendMetrics(metrics: object): Promise<void> {
    try {
      await appendFile(this.metricsFile, `${JSON.stringify(metrics)}\n`);
    } catch (error) {
      throw new CheckpointError(`${this.metricsFile} could not be written: ${(error as Error).message}`, { cause: error });
    }
  }

  async readMetrics<Metrics extends { step: number }>(): Promise<Metrics[]> {
    const text = await readFile(this.metricsFile, 'utf8').catch((error: NodeJS.ErrnoException) => {
      if (error.code === 'ENOENT') return '';
      // Taken for empty, it would be written anew.
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
  }

  async writeSamples(step: number, png: Uint8Array): Promise<string> {
    const path = this.samples(step);
    try {
      await mkdir(join(this.path, 'samples'), { recursive: true });
    } catch (error) {
      throw new CheckpointError(`${path} could not be written: ${(error as Error).message}`, { cause: error });
    }
    await replaceFile(path, png);
    return path;
  }

  samples(step: number): string {
    return join(this.path, 'samples', `step-${step}.png`);
  }

  async write(name: string, text: string): Promise<string> {
    const path = join(this.path, name);
    await replaceFile(path, text);
    return path;
  }
}
