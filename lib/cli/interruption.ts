import { EamError, isError } from '../errors.js';
import { outlivesTerminal } from './hangup.js';

/** What ends a session. */
const signals = ['SIGINT', 'SIGTERM', 'SIGQUIT', 'SIGHUP'] as const;

const training = (again: string) => `what can be resumed is written first, which ${again} leaves out`;

/** What becomes of the work of a command that is asked to end, by its name; @param again what ends it at once */
export const endings: Readonly<Record<string, (again: string) => string>> = {
  finetune: training,
  distill: training,
  pretrain: training,
  compare: training,
  fetch: () => 'what came is kept, and the same command goes on from there',
  reproduce: () => 'what is finished is kept, and the same command goes on from there',
};

/** Every other command says this: nothing of it can be resumed. */
const plainEnding = (again: string) => `${again} ends it at once`;

/** One Ctrl-C can arrive twice: from the terminal, and from npx, which passes it on. Milliseconds. */
const oneKeystroke = 300;

/**
 * Stops a command that is asked to end, or whose code fails where nobody waits for it, such as in a callback of a
 * reward: the command's signal is aborted, and a training writes what can be resumed. A second SIGINT, SIGTERM or
 * SIGQUIT ends the process at once. SIGHUP never does: a closing terminal sends it more than once. It is passed over by
 * a process that is to outlive its terminal.
 */
export class Interruption implements Disposable {
  readonly #controller = new AbortController();
  /** A reward that waits for what never comes leaves Node without work, and Node would end in silence. */
  readonly #awake = setInterval(() => {}, 2 ** 30);
  readonly #isDetached = outlivesTerminal();
  #first = 0;
  /** The name of the command that runs, once it is known. */
  command: string | undefined;

  /**
   * @param note is told what happens now
   * @param stop ends the process at once
   */
  constructor(
    private readonly note: (line: string) => void,
    private readonly stop: () => void,
  ) {
    for (const name of signals) process.on(name, this.#onSignal);
    process.on('uncaughtException', this.#onFault);
  }

  get signal(): AbortSignal {
    return this.#controller.signal;
  }

  /** Whether `error` is that the command was asked to end, by a signal or by a run's page. */
  isReason(error: unknown): boolean {
    return error instanceof EamError && error.code === 'ERR_EAM_INTERRUPTED';
  }

  /** What failed where nobody waited for it. */
  get fault(): { error: unknown } | undefined {
    return this.signal.aborted && this.#first === 0 ? { error: this.signal.reason } : undefined;
  }

  [Symbol.dispose](): void {
    for (const name of signals) process.off(name, this.#onSignal);
    process.off('uncaughtException', this.#onFault);
    clearInterval(this.#awake);
  }

  readonly #onSignal = (name: NodeJS.Signals): void => {
    if (name === 'SIGHUP' && this.#isDetached) return;
    const now = performance.now();
    if (this.#first > 0) {
      if (name !== 'SIGHUP' && now - this.#first > oneKeystroke) this.stop();
      return;
    }
    this.#first = now;
    const again = name === 'SIGINT' ? 'a second Ctrl-C' : name === 'SIGHUP' ? 'SIGTERM' : `a second ${name}`;
    const ending = endings[this.command ?? ''] ?? plainEnding;
    this.note(`${name}: stopping; ${ending(again)}`);
    this.#controller.abort(new EamError('ERR_EAM_INTERRUPTED', `interrupted by ${name}`));
  };

  readonly #onFault = (error: unknown): void => {
    // The first is told at the end.
    if (this.signal.aborted) process.stderr.write(`error: ${isError(error) ? error.message : String(error)}\n`);
    this.#controller.abort(error);
    // What waits for the code that failed may wait for ever.
    clearInterval(this.#awake);
  };
}
