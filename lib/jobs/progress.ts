import { MultiBar, Presets, type SingleBar } from 'cli-progress';

import { duration } from './text.js';

/** What a job tells about itself while it runs. */
export interface JobObserver {
  /** The job has `total` steps, `done` of them behind it. `unit`: what they are called, 'step' by default. */
  begin(total: number, done: number, unit?: string): void;
  /** Step `done` is complete. `figures` are shown as they are; `evaluations` is how many the step made. */
  advance(done: number, figures: Readonly<Record<string, number>>, evaluations?: number): void;
  /** One line for the reader: what happens now, what was found, where something was written. */
  note(line: string): void;
  /** The job is over, or has failed. */
  end(): void;
}

export const silent: JobObserver = { begin() {}, advance() {}, note() {}, end() {} };

/** Notes every tenth of what is done, such as prompts that are encoded, where it is more than is done at once. */
export function progressNotes(
  note: (line: string) => void,
  did: string,
  what: string,
): (done: number, total: number) => void {
  let told = 0;
  return (done, total) => {
    const tenth = Math.floor((10 * done) / total);
    if (tenth > told && done < total) note(`${did} ${done} of ${total} ${what}`);
    told = tenth;
  };
}

/** Notes every tenth of the prompts that are encoded. */
export const promptProgress = (note: (line: string) => void) => progressNotes(note, 'encoded', 'prompts');

/** What is needed of a stream; Node's own types would be asked of everyone who imports this package's. */
interface Output {
  isTTY?: boolean;
  write(text: string): unknown;
}

/** A bar on a terminal, plain lines elsewhere. */
export function observe(stream: Output = process.stderr): JobObserver {
  return stream.isTTY ? new BarObserver(stream) : new LineObserver(stream);
}

const figure = (value: number) =>
  Math.abs(value) >= 1e4 || (value !== 0 && Math.abs(value) < 1e-3) ? value.toExponential(1) : value.toPrecision(4);

const format = (figures: Readonly<Record<string, number>>) =>
  Object.entries(figures)
    .map(([name, value]) => `${name} ${figure(value)}`)
    .join('  ');

/** Speed and time left, from the steps seen since the job began or was resumed. */
export class Pace {
  #start = performance.now();
  #first = 0;
  #total = 0;
  #evaluations = 0;
  #unit = '';

  begin(total: number, done: number, unit: string): void {
    this.#start = performance.now();
    this.#first = done;
    this.#total = total;
    this.#evaluations = 0;
    this.#unit = unit;
  }

  get #seconds(): number {
    return (performance.now() - this.#start) / 1000;
  }

  /** Null where no step is done yet. */
  secondsLeft(done: number): number | null {
    return done > this.#first ? (this.#seconds / (done - this.#first)) * (this.#total - done) : null;
  }

  describe(done: number, evaluations: number): string {
    this.#evaluations += evaluations;
    const seconds = this.#seconds;
    const left = this.secondsLeft(done) ?? seconds * (this.#total - done);
    const speed = this.#evaluations
      ? `${Math.round(this.#evaluations / seconds)} evaluations/s`
      : `${((done - this.#first) / seconds).toFixed(2)} ${this.#unit}s/s`;
    return `${speed}  ${duration(left)} left`;
  }
}

class BarObserver implements JobObserver {
  readonly #pace = new Pace();
  #bars: MultiBar | undefined;
  #bar: SingleBar | undefined;

  constructor(private readonly stream: Output) {}

  begin(total: number, done: number, unit = 'step'): void {
    this.#pace.begin(total, done, unit);
    this.#bars = new MultiBar(
      {
        stream: this.stream as NodeJS.WriteStream,
        format: '{bar} {value}/{total}  {figures}  {pace}',
        barsize: 24,
        hideCursor: true,
        // Ctrl-C is the command's own: it writes a checkpoint first.
        gracefulExit: false,
      },
      Presets.shades_classic,
    );
    this.#bar = this.#bars.create(total, done, { figures: '', pace: '' });
  }

  advance(done: number, figures: Readonly<Record<string, number>>, evaluations = 0): void {
    this.#bar?.update(done, { figures: format(figures), pace: this.#pace.describe(done, evaluations) });
  }

  note(line: string): void {
    if (this.#bars?.isActive) this.#bars.log(`${line}\n`);
    else this.stream.write(`${line}\n`);
  }

  end(): void {
    this.#bars?.stop();
    this.#bars = undefined;
    this.#bar = undefined;
  }
}

/** Seconds between lines, so that a log of a long run stays readable. */
const lineInterval = 5;

class LineObserver implements JobObserver {
  readonly #pace = new Pace();
  #total = 0;
  #unit = '';
  #last = -Infinity;

  constructor(private readonly stream: Output) {}

  begin(total: number, done: number, unit = 'step'): void {
    this.#total = total;
    this.#unit = unit;
    this.#last = -Infinity;
    this.#pace.begin(total, done, unit);
  }

  advance(done: number, figures: Readonly<Record<string, number>>, evaluations = 0): void {
    const pace = this.#pace.describe(done, evaluations);
    const now = performance.now() / 1000;
    if (now - this.#last < lineInterval && done < this.#total) return;
    this.#last = now;
    this.note([`${this.#unit} ${done}/${this.#total}`, format(figures), pace].filter((part) => part !== '').join('  '));
  }

  note(line: string): void {
    this.stream.write(`${line}\n`);
  }

  end(): void {}
}
