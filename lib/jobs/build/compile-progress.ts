// How far the compiler is, from what ninja and make print: `[12/21] Building …` and `[ 57%] Building …`.

/** The way to a person: a terminal, whose line is rewritten, or lines one below the other. */
export type ProgressSink = { terminal: { write(text: string): unknown } } | { report: (line: string) => void };

/** Lines that are printed where there is no terminal come every so many hundredths. */
const lineEvery = 0.1;

/**
 * Tells how many steps of a compilation are done and how long the others will take.
 *
 * The precompiled header comes first and takes as long as several other steps: seconds left are told from the mean of
 * the steps that followed it, two of them at least.
 */
export class CompileProgress {
  readonly #sink: ProgressSink;
  readonly #title: string;
  readonly #now: () => number;
  #unread = '';
  #written = false;
  #told = 0;
  #header: { at: number; done: number } | undefined;

  /** `now` is a clock in seconds. */
  constructor(title: string, sink: ProgressSink, now: () => number = () => performance.now() / 1000) {
    this.#title = title;
    this.#sink = sink;
    this.#now = now;
  }

  /** Takes more of the output, cut anywhere. */
  read(text: string): void {
    const lines = (this.#unread + text).split('\n');
    this.#unread = lines.pop()!;
    for (const line of lines) this.#readLine(line);
  }

  /** Clears the terminal's line. */
  end(): void {
    if (this.#written && 'terminal' in this.#sink) this.#sink.terminal.write('\r\x1b[K');
    this.#written = false;
  }

  #readLine(line: string): void {
    const match = /^\[\s*(?:(\d+)\/(\d+)|(\d+)%)\] (.*)/.exec(line);
    if (!match) return;
    const [, steps, all, percent, what] = match;
    const done = Number(steps ?? percent);
    const total = Number(all ?? 100);
    if (what!.includes('cmake_pch') || this.#header === undefined) this.#header = { at: this.#now(), done };
    const count = percent === undefined ? `${done} of ${total}` : `${done} %`;
    const text = `${this.#title}: ${count}${this.#timeLeft(done, total)}`;
    if ('terminal' in this.#sink) {
      this.#sink.terminal.write(`\r  ${text}\x1b[K`);
      this.#written = true;
    } else if (done / total >= this.#told + lineEvery - 1e-9 && done < total) {
      this.#told = done / total;
      this.#sink.report(text);
    }
  }

  #timeLeft(done: number, total: number): string {
    const { at, done: before } = this.#header!;
    if (done - before < 2 || done === total) return '';
    const seconds = ((this.#now() - at) / (done - before)) * (total - done);
    return `, about ${Math.max(1, Math.round(seconds))} s left`;
  }
}
