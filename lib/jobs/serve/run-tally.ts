import type { RunView } from '../report/run-view.js';

/** So many of the last steps tell how long one takes now. */
const recentSteps = 20;

/** The figures of a run so far that metrics.jsonl gives, without its curves. */
export interface Tally {
  /** The last step that is logged; 0 before the first. */
  step: number;
  /** The steps of the whole run, where its configuration says so. */
  steps: number | null;
  /** Seconds of a step, and of its stages where they are logged: means over the last 20. */
  secondsPerStep: number | null;
  stages: Readonly<Record<string, number>>;
  /** Seconds that the steps which are left take at that pace. */
  secondsLeft: number | null;
  /**
   * How many samples were left out (`dropped`), how many had their reward's gradient clipped, and how many terms of the
   * loss reached their cap.
   */
  dropped: number;
  clipped: number;
  capped: number;
  /** Updates that were left out. */
  skipped: number;
  /** Values that were not finite, by reward. */
  nonFinite: Readonly<Record<string, number>>;
}

interface Row {
  seconds: number;
  stages: Readonly<Record<string, number>>;
}

/** Adds up a run's metrics as they are logged, without keeping them. */
export class RunTally {
  #recent: Row[] = [];
  #counts = { dropped: 0, clipped: 0, capped: 0, skipped: 0 };
  #nonFinite: Record<string, number> = {};
  #step = 0;
  #seconds = 0;

  /** @param steps of the whole run, null where that is not known */
  constructor(private readonly steps: number | null) {}

  /** Adds up all that a run has logged. */
  static of({ config, metrics }: Pick<RunView, 'config' | 'metrics'>): RunTally {
    const { steps } = config;
    const tally = new RunTally(typeof steps === 'number' ? steps : null);
    for (const row of metrics) tally.add(row);
    return tally;
  }

  /** Adds a step, which comes after those before. */
  add(row: object): void {
    const number = (name: string) => numberIn(row, name);
    this.#step = number('step');
    for (const name of ['dropped', 'clipped', 'capped'] as const) this.#counts[name] += number(name);
    if ('skipped' in row && row.skipped === true) this.#counts.skipped++;
    for (const [name, count] of numbersOf(row, 'nonFiniteRewards'))
      this.#nonFinite[name] = (this.#nonFinite[name] ?? 0) + count;
    // Commands that log no total log in `seconds` the time of all steps up to this one.
    const seconds = number('seconds') - ('total' in row ? 0 : this.#seconds);
    this.#seconds = number('seconds');
    this.#recent.push({ seconds, stages: Object.fromEntries(numbersOf(row, 'stages')) });
    if (this.#recent.length > recentSteps) this.#recent.shift();
  }

  read(): Tally {
    const { length } = this.#recent;
    const mean = (of: (row: Row) => number) => this.#recent.reduce((sum, row) => sum + of(row), 0) / length;
    const secondsPerStep = length ? mean(({ seconds }) => seconds) : null;
    const stages = Object.keys(this.#recent.at(-1)?.stages ?? {}).map((name) => [
      name,
      mean((row) => row.stages[name] ?? 0),
    ]);
    const left = this.steps === null ? null : Math.max(0, this.steps - this.#step);
    return {
      step: this.#step,
      steps: this.steps,
      secondsPerStep,
      stages: Object.fromEntries(stages) as Record<string, number>,
      secondsLeft: secondsPerStep === null || left === null ? null : left * secondsPerStep,
      ...this.#counts,
      nonFinite: { ...this.#nonFinite },
    };
  }
}

function numberIn(row: object, name: string): number {
  const value: unknown = Reflect.get(row, name);
  return typeof value === 'number' && Number.isFinite(value) ? value : 0;
}

function numbersOf(row: object, name: string): [string, number][] {
  const value: unknown = Reflect.get(row, name);
  if (typeof value !== 'object' || value === null) return [];
  return Object.keys(value).map((key) => [key, numberIn(value, key)]);
}
