// What the tests of `eam distill` have in common.
import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';

import { temporaryFolder, tinyAdapter } from './tiny-run.js';

/** A short distillation of a tiny model. */
export const distillation = (model: string, change: object = {}) => ({
  model,
  adapter: tinyAdapter,
  prompts: ['0', '1', '2'],
  teacher: { guidance: 3, steps: 4, solver: 'euler' },
  timesEach: 2,
  optimizer: { learningRate: 1e-2 },
  steps: 2,
  batch: 4,
  samples: { count: 3, columns: 3 },
  output: join(temporaryFolder(), 'run'),
  ...change,
});

export function configFile(config: object): string {
  const path = join(temporaryFolder(), 'config.json');
  writeFileSync(path, JSON.stringify(config));
  return path;
}

export const metricsOf = (run: string): Record<string, number>[] =>
  readFileSync(join(run, 'metrics.jsonl'), 'utf8')
    .trimEnd()
    .split('\n')
    .map((line) => JSON.parse(line) as Record<string, number>);
