import type { Scalar } from '../../training/metric-names.js';
import type { RunLog } from './run-log.js';

/** Several logs of one run, each told in its turn. */
export class SeveralLogs implements RunLog {
  constructor(private readonly logs: readonly RunLog[]) {}

  scalars(step: number, scalars: readonly Scalar[]): Promise<void> {
    return this.#each((log) => log.scalars(step, scalars));
  }

  image(step: number, png: Uint8Array, path: string): Promise<void> {
    return this.#each((log) => log.image(step, png, path));
  }

  config(config: object): Promise<void> {
    return this.#each((log) => log.config(config));
  }

  summary(step: number, scalars: readonly Scalar[]): Promise<void> {
    return this.#each((log) => log.summary(step, scalars));
  }

  rewind(step: number): Promise<void> {
    return this.#each((log) => log.rewind(step));
  }

  close(whole: boolean): Promise<void> {
    return this.#each((log) => log.close(whole));
  }

  async #each(tell: (log: RunLog) => Promise<void>): Promise<void> {
    for (const log of this.logs) await tell(log);
  }
}
