import type { JobObserver } from './progress.js';

/** Options of a job: of `finetune`, `compare` and `pretrain`. */
export interface JobOptions {
  /** Stops between network evaluations; what can be resumed is written first. */
  signal?: AbortSignal | undefined;
  /** Told of every step. */
  observer?: JobObserver | undefined;
  /** Go on from the newest whole checkpoint of the run in `output`. */
  resume?: boolean | undefined;
}
