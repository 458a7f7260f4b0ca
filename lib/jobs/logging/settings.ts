import { join } from 'node:path';

import { z } from 'zod';

import type { RunLog } from './run-log.js';
import { TensorBoardLog } from './tensorboard.js';

/** The folder of a run that TensorBoard reads. */
const tensorBoardFolder = 'tensorboard';

/** Where a run's metrics are logged. */
export const loggingSchema = z
  .array(z.enum(['jsonl', 'tensorboard']))
  .refine((names) => new Set(names).size === names.length, 'expected each log once')
  .default(['jsonl'])
  .describe(
    'Metrics go here: "jsonl" is metrics.jsonl, which every run writes, since reports and resumed runs read it, and ' +
      '"tensorboard" writes event files into the run\'s folder.',
  );

export type LogNames = z.output<typeof loggingSchema>;

/** The logs of a run beside its metrics.jsonl. @param directory the run's folder */
export const openLogs = (names: LogNames, directory: string): RunLog[] =>
  names.includes('tensorboard') ? [new TensorBoardLog(join(directory, tensorBoardFolder))] : [];
