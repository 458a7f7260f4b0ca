import { existsSync } from 'node:fs';
import { basename, join } from 'node:path';
import { memoryUsage } from 'node:process';

import { EamError } from '../../errors.js';
import { partsOf } from '../../rewards/identity.js';
import type { Reward } from '../../rewards/reward.js';
import { isServiceReward, type ServiceReward, type ServiceTally } from '../../rewards/services/service-reward.js';
import { binding } from '../../runtime/native/index.js';
import { Pace, silent, type JobObserver } from '../progress.js';
import type { ListedRun } from './run-folder.js';

/** The latest lines that are shown of what a run says. */
const shownNotes = 50;

/** All that a run's process tells of itself beside its files. */
export interface LiveStatus {
  /**
   * The task that is being done: steps, or the images of an evaluation. It is left out before, between and after tasks.
   */
  task?: { unit: string; done: number; total: number; secondsLeft: number | null };
  /**
   * Bytes of memory: those of the process now, the most that they were, and those in use on the whole GPU, by other
   * processes, too.
   */
  memory: { resident: number; most: number; device?: { used: number; total: number } };
  /** The rewards that ask services, with their requests and what became of them. */
  services: ({ name: string; running: number; waiting: number } & ServiceTally)[];
  /** The checkpoint that was asked for: whether it is still to be written, else the step of the last one. */
  checkpoint: { isWanted: boolean; written?: number };
  isStopping: boolean;
  notes: readonly string[];
}

/**
 * A run as its live page sees it and acts on it: the page reads {@link status}, and what its buttons ask for waits here
 * for the run.
 */
export class LiveRun {
  readonly #stop = new AbortController();
  readonly #pace = new Pace();
  readonly #notes: string[] = [];
  /**
   * The seconds that the run had left when its last step was done, and when that was. The page counts down from there.
   */
  #left: { seconds: number; since: number } | undefined;
  #task: { unit: string; done: number; total: number } | undefined;
  #services: readonly ServiceReward[] = [];
  #device = 'cpu';
  #deviceMemory: { used: number; total: number } | undefined;
  #isAsking = false;
  #most = 0;
  #isWanted = false;
  #written: number | undefined;
  #directory: string | undefined;

  constructor(private readonly inner: JobObserver = silent) {}

  /** Aborted by {@link stop}. */
  get signal(): AbortSignal {
    return this.#stop.signal;
  }

  /** Tells the run's own observer, and remembers for the page. */
  readonly observer: JobObserver = {
    begin: (total, done, unit = 'step') => {
      this.inner.begin(total, done, unit);
      this.#task = { unit, done, total };
      this.#left = undefined;
      this.#pace.begin(total, done, unit);
    },
    advance: (done, figures, evaluations) => {
      this.inner.advance(done, figures, evaluations);
      if (this.#task) this.#task = { ...this.#task, done };
      const seconds = this.#pace.secondsLeft(done);
      this.#left = seconds === null ? undefined : { seconds, since: performance.now() };
    },
    note: (line) => {
      this.inner.note(line);
      this.#notes.push(line);
      if (this.#notes.length > shownNotes) this.#notes.shift();
    },
    end: () => {
      this.inner.end();
      this.#task = undefined;
      // However the steps end, a checkpoint is written then, so that none is wanted any longer.
      this.#isWanted = false;
    },
  };

  /** Says what the run computes with and where it is written, as soon as that is known. */
  follow({ directory, reward, device }: { directory: string; reward: Reward; device: string }): void {
    this.#directory = directory;
    this.#services = partsOf(reward).filter(isServiceReward);
    this.#device = device;
  }

  /** The run as a page lists it, once it has written what it is. */
  listed(): ListedRun[] {
    const directory = this.#directory;
    if (directory === undefined || !existsSync(join(directory, 'config.json'))) return [];
    return [{ key: basename(directory), directory, isRunning: true, changed: new Date(0) }];
  }

  /** Asks for a checkpoint after the step that is being done. @returns whether steps are being done */
  requestCheckpoint(): boolean {
    this.#isWanted = this.#task?.unit === 'step' && !this.#stop.signal.aborted;
    return this.#isWanted;
  }

  /**
   * Writes the checkpoint that was asked for, if one was: the run calls this between two steps. One that cannot be
   * written does not end the run.
   */
  async saveWhereAsked(step: number, save: () => Promise<unknown>): Promise<void> {
    if (!this.#isWanted) return;
    this.#isWanted = false;
    try {
      await save();
      this.#written = step;
      this.observer.note(`wrote a checkpoint of step ${step}, as the page asked`);
    } catch (error) {
      this.observer.note(`the checkpoint that the page asked for was not written: ${(error as Error).message}`);
    }
  }

  /** Ends the run as Ctrl-C does. */
  stop(): void {
    if (this.#stop.signal.aborted) return;
    this.observer.note('stopping, as the page asked; what can be resumed is written first');
    this.#stop.abort(new EamError('ERR_EAM_INTERRUPTED', 'interrupted by its live page'));
  }

  status(): LiveStatus {
    const resident = memoryUsage.rss();
    this.#most = Math.max(this.#most, resident);
    this.#askDevice();
    const task = this.#task;
    return {
      ...(task && { task: { ...task, secondsLeft: this.#secondsLeft() } }),
      memory: { resident, most: this.#most, ...(this.#deviceMemory && { device: this.#deviceMemory }) },
      services: this.#services.map(({ name, queue, tally }) => ({ name, ...queue, ...tally })),
      checkpoint: { isWanted: this.#isWanted, ...(this.#written !== undefined && { written: this.#written }) },
      isStopping: this.#stop.signal.aborted,
      notes: [...this.#notes],
    };
  }

  #secondsLeft(): number | null {
    if (!this.#left) return null;
    const { seconds, since } = this.#left;
    return Math.max(0, seconds - (performance.now() - since) / 1000);
  }

  /** The device answers when it has done what it was given before; the page shows what it said last. */
  #askDevice(): void {
    if (this.#device === 'cpu' || this.#isAsking) return;
    this.#isAsking = true;
    binding()
      .cudaMemory(this.#device)
      .then(({ free, total }) => {
        this.#deviceMemory = { used: total - free, total };
      })
      .catch(() => {})
      .finally(() => {
        this.#isAsking = false;
      });
  }
}
