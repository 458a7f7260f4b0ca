import { dirname, resolve } from 'node:path';

import { CheckpointError } from '../errors.js';
import {
  listCheckpoints,
  removeCheckpoints,
  verifyCheckpoint,
  writeCheckpoint,
  type Checkpoint,
} from '../files/checkpoints.js';
import type { TrainerSettings } from './trainer-options.js';

/** The checkpoints that one run writes, in a directory that holds no other run's. */
export class OwnCheckpoints {
  /** The step that was read or written last. */
  #saved = -1;
  /** Where this run's checkpoints are, from the first that was read or written. */
  #home: string | undefined;

  constructor(private readonly settings: NonNullable<TrainerSettings['checkpoints']>) {}

  isDue(step: number): boolean {
    return step % this.settings.every === 0;
  }

  has(step: number): boolean {
    return this.#saved === step;
  }

  goOnFrom(directory: string, step: number): void {
    this.#saved = step;
    this.#home = resolve(dirname(directory));
  }

  /**
   * Writes the checkpoint of a step, whose files `fill` puts into a directory.
   * @throws CheckpointError as `refuseOtherRuns`
   */
  async write(step: number, fill: (directory: string) => Promise<void>): Promise<Checkpoint> {
    const { directory, keep } = this.settings;
    await this.refuseOtherRuns(step);
    if (this.settings.overwrite && this.#home === undefined) await removeCheckpoints(directory);
    const written = await writeCheckpoint(directory, step, keep, fill);
    this.#saved = step;
    this.#home = resolve(directory);
    return written;
  }

  /**
   * A run that starts anew, or goes on from before the newest whole checkpoint, would mix its checkpoints with those of
   * another, make room among them, and leave it to chance from which of the two a killed run is resumed.
   * @throws CheckpointError where there are any
   */
  async refuseOtherRuns(current: number): Promise<void> {
    if (this.settings.overwrite && this.#home === undefined) return;
    const all = await listCheckpoints(this.settings.directory);
    const own = this.#home === resolve(this.settings.directory);
    for (const { step, directory } of all.reverse()) {
      if (own && step <= current) return;
      // A resumed run has passed over the damaged ones.
      if (own && !(await verifyCheckpoint(directory).catch(() => undefined))) continue;
      throw new CheckpointError(
        `checkpoints.directory: ${this.settings.directory} holds checkpoints of an earlier run; go on from one with ` +
          `trainer.resume('${directory}'), start anew with checkpoints.overwrite, or name another directory`,
      );
    }
  }
}
