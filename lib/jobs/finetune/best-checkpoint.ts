import { readdir, rm } from 'node:fs/promises';
import { join } from 'node:path';

import { linkOrCopy } from '../../files/link-or-copy.js';
import { listCheckpoints, manifestName, verifyCheckpoint, writeCheckpoint } from '../../files/checkpoints.js';
import type { Trainer } from '../../training/trainer.js';
import type { RunDirectory } from '../run-directory.js';
import { bestFolder } from '../run-record.js';

/** The checkpoint with the highest reward of those whose measurements were without an alarm. */
export class BestCheckpoint {
  #reward = -Infinity;
  #step: number | undefined;

  private constructor(
    private readonly root: string,
    private readonly checkpoints: string,
    private readonly trainer: Trainer,
  ) {}

  /**
   * Takes up what a run has kept before.
   * @param directory the run's
   * @param rewards what the panel measured of the reward, by the steps that are done
   */
  static async open(
    { path, checkpoints }: Pick<RunDirectory, 'path' | 'checkpoints'>,
    trainer: Trainer,
    rewards: ReadonlyMap<number, number>,
  ): Promise<BestCheckpoint> {
    const root = join(path, bestFolder);
    const best = new BestCheckpoint(root, checkpoints, trainer);
    for (const { step, directory } of await listCheckpoints(root)) {
      const reward = rewards.get(step);
      const isWhole = await verifyCheckpoint(directory).then(
        () => true,
        () => false,
      );
      // A damaged checkpoint is removed, and so is one of a step that the run will come to again.
      if (reward === undefined || !isWhole) await rm(directory, { recursive: true, force: true });
      else best.#take(step, reward);
    }
    return best;
  }

  /** The checkpoint's folder, if there is one. */
  get directory(): string | undefined {
    return this.#step === undefined ? undefined : join(this.root, `step-${this.#step}`);
  }

  /** Keeps the checkpoint of the step that is done if its reward is the highest so far. */
  async offer(step: number, reward: number): Promise<void> {
    if (!(reward > this.#reward)) return;
    await this.trainer.save();
    const written = join(this.checkpoints, `step-${step}`);
    await writeCheckpoint(this.root, step, 1, async (aside) => {
      const names = (await readdir(written)).filter((name) => name !== manifestName);
      for (const name of names) await linkOrCopy(join(written, name), join(aside, name));
    });
    this.#take(step, reward);
  }

  #take(step: number, reward: number): void {
    this.#step = step;
    this.#reward = reward;
  }
}
