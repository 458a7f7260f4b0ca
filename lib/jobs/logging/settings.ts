import { join } from 'node:path';

import { z } from 'zod';

import type { LoggedRun, RunLog } from './run-log.js';
import { SeveralLogs } from './several-logs.js';
import { TensorBoardLog } from './tensorboard.js';
import { checkWandb, WandbLog } from './wandb.js';

/** The folder of a run that TensorBoard reads. */
const tensorBoardFolder = 'tensorboard';

/** Where a run's metrics are logged. */
export const loggingSchema = z
  .array(z.enum(['jsonl', 'tensorboard', 'wandb']))
  .refine((names) => new Set(names).size === names.length, 'expected each log once')
  .default(['jsonl'])
  .describe(
    'Metrics go here: "jsonl" is metrics.jsonl, which every run writes, since reports and resumed runs read it; ' +
      '"tensorboard" writes event files into the run\'s folder; "wandb" logs to Weights & Biases.',
  );

export type LogNames = z.output<typeof loggingSchema>;

/** Refuses logs that this machine cannot write. @throws ConfigError */
export const checkLogs = async (names: LogNames): Promise<void> => {
  if (names.includes('wandb')) await checkWandb();
};

/** The logs of a run beside its metrics.jsonl, as one. */
export function openLogs(names: LogNames, run: LoggedRun): RunLog {
  return new SeveralLogs([
    ...(names.includes('tensorboard') ? [new TensorBoardLog(join(run.directory, tensorBoardFolder))] : []),
    ...(names.includes('wandb') ? [new WandbLog(run)] : []),
  ]);
}
