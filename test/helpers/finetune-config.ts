// A fine-tuning of the tiny digits model from the command line.
import { mkdtempSync, readFileSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';

import { temporaryFolder, tinyAdapter, tinyModelDirectory } from './tiny-run.js';

/** The compiled `eam`. */
export const program = fileURLToPath(new URL('../../dist/cli/main.js', import.meta.url));

export const model = await tinyModelDirectory();

/** Writes a configuration with `change`, whose run goes into a folder of its own. */
export function configFile(change: object = {}): string {
  const config = {
    model,
    adapter: tinyAdapter,
    prompts: ['0', '1', '2'],
    rewards: [{ name: 'stroke-weight', scale: 4 }],
    algorithm: { name: 'eam', solver: 'euler', steps: 2, renoisings: 2, delta: 0.3 },
    optimizer: { learningRate: 1e-2, emaDecay: 0.9 },
    steps: 4,
    batch: 6,
    checkpoints: { every: 2 },
    samples: { count: 6, columns: 3, steps: 2 },
    output: join(temporaryFolder(), 'run'),
    ...change,
  };
  const path = join(mkdtempSync(join(tmpdir(), 'eam-cli-')), 'config.json');
  writeFileSync(path, JSON.stringify(config));
  return path;
}

/** Where the run of a configuration file goes. */
export const outputOf = (config: string): string => JSON.parse(readFileSync(config, 'utf8')).output;
