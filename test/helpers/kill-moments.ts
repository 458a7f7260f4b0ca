// When a run is killed: anywhere in its life, within the writing of a checkpoint, or after its last step.
import { setTimeout as sleep, setImmediate as turn } from 'node:timers/promises';

import { type KilledRun, type Started, steps } from './killed-run.js';

/** Where a kill is aimed; moments cannot be commanded. */
export type Aim = 'anywhere' | 'writing' | 'ending';

/** What was drawn for one kill. */
export interface Moment {
  aim: Aim;
  /** Milliseconds from the start, for a kill anywhere. */
  life: number;
  /** How many of the checkpoints that this process writes are passed over, for a kill within the writing. */
  writings: number;
  /** Milliseconds into the writing, or a quarter of those after the last step. */
  delay: number;
}

/** Numbers in [0, 1) that are the same for the same seed: mulberry32. */
export function uniformNumbers(seed: number): () => number {
  let state = seed >>> 0;
  return () => {
    state = (state + 0x6d2b79f5) >>> 0;
    let t = Math.imul(state ^ (state >>> 15), state | 1);
    t ^= t + Math.imul(t ^ (t >>> 7), t | 61);
    return ((t ^ (t >>> 14)) >>> 0) / 2 ** 32;
  };
}

/** Waits for a moment of a run that was started, or for its end where that comes before. */
export async function reach(run: KilledRun, { ended }: Started, moment: Moment): Promise<void> {
  let over = false;
  void ended.then(() => {
    over = true;
  });
  const isOver = () => over;
  if (moment.aim === 'anywhere') return pass(moment.life, isOver, () => sleep(1));
  if (moment.aim === 'writing') {
    await writingBegins(run, moment.writings, isOver);
    return pass(moment.delay, isOver, turn);
  }
  while (!over && run.newestStep() !== steps) await sleep(1);
  return pass(4 * moment.delay, isOver, turn);
}

/**
 * Lets milliseconds go by. With `turn` it is busy, not asleep: a timer's millisecond is long beside what is aimed at.
 */
async function pass(milliseconds: number, isOver: () => boolean, breathe: () => Promise<unknown>): Promise<void> {
  for (const from = performance.now(); !isOver() && performance.now() - from < milliseconds; ) await breathe();
}

/** Waits until the process is writing a checkpoint, after it has written `before` others. */
async function writingBegins(run: KilledRun, before: number, isOver: () => boolean): Promise<void> {
  const old = new Set(run.halfSteps());
  const seen = new Set<number>();
  while (!isOver() && seen.size <= before) {
    const newest = run.newestStep();
    for (const step of run.halfSteps()) if (step > newest && !old.has(step)) seen.add(step);
    await turn();
  }
}
