import { z } from 'zod';

import { abortSignal, checkOptions, objectWith } from '../schema/options.js';
import { belongings, type Belonging } from '../training/belonging.js';
import type { Existing } from './existing-output.js';
import type { JobObserver } from './progress.js';

/**
 * Checks a job's options.
 * @param source such as `finetune options`
 * @param more what checks the options that other jobs do not have
 * @throws ConfigError
 */
export function checkJobOptions(options: JobOptions, source: string, more: Record<string, z.ZodType> = {}): void {
  const shape = {
    signal: abortSignal,
    observer: objectWith('an observer with begin, advance, note and end', 'begin', 'advance', 'note', 'end'),
    resume: z.boolean(),
    existing: z.enum(['number', 'refuse', 'overwrite']),
    allow: z.array(z.enum(belongings)),
    ...more,
  };
  checkOptions(shape, options, source);
}

/** Options of a job: of `finetune`, `compare`, `pretrain` and `distill`. */
export interface JobOptions {
  /** Stops between network evaluations; what can be resumed is written first. */
  signal?: AbortSignal | undefined;
  /** It is told of every step. */
  observer?: JobObserver | undefined;
  /** Go on from the newest whole checkpoint of the run in `output`. */
  resume?: boolean | undefined;
  /**
   * What becomes of a new run whose `output` holds something: `'number'` writes into `output-2` and so on, `'refuse'`
   * is an error, `'overwrite'` removes what an earlier run wrote there. Default 'number'.
   */
  existing?: Existing | undefined;
  /** What may be another than the run had that is resumed; default: nothing. */
  allow?: readonly Belonging[] | undefined;
}
