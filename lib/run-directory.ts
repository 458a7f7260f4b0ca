import { appendFile, mkdir, readFile, readdir } from 'node:fs/promises';
import { join } from 'node:path';

import { newestWholeCheckpoint, replaceFile, type Checkpoint } from './checkpoints.js';
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
        throw error;
      });
      if (entries.length) continue;
      await mkdir(candidate, { recursive: true });
      return new RunDirectory(candidate);
    }
  }

  /** The directory of a run that is there already. */
  static existing(path: string): RunDirectory {
    return new RunDirectory(path);
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
    await appendFile(this.metricsFile, `${JSON.stringify(metrics)}\n`);
  }

  async readMetrics<Metrics extends { step: number }>(): Promise<Metrics[]> {
    const text = await readFile(this.metricsFile, 'utf8').catch(() => '');
    return text.split('\n').flatMap((line) => {
      try {
        return [JSON.parse(line) as Metrics];
      } catch {
        // The last line of a run that was killed while writing it.
        return [];
      }
    });
  }

  /** Forgets what was logged after `step`: the resumed run logs it again. */
  async rewindMetrics(step: number): Promise<void> {
    const kept = (await this.readMetrics()).filter((metrics) => metrics.step <= step);
    await replaceFile(this.metricsFile, kept.map((metrics) => `${JSON.stringify(metrics)}\n`).join(''));
  }

  async writeSamples(step: number, png: Uint8Array): Promise<string> {
    const path = this.samples(step);
    await mkdir(join(this.path, 'samples'), { recursive: true });
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
