// A run of the command line whose own reward ends it, or waits until somebody else has.
import { existsSync, readdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';

import { temporaryFolder, tinyAdapter } from './tiny-run.js';

export const program = fileURLToPath(new URL('../../dist/cli/main.js', import.meta.url));

/**
 * A run of 5 steps whose reward does `third` at the third step, which is its fourth call: the first is the rehearsal's.
 * @param third a function's body, with `images`, `signal`, `kill`, `pause` and `fs`
 */
export function runThat(model: string, third: string) {
  const folder = temporaryFolder();
  const reward = join(folder, 'reward.mjs');
  writeFileSync(
    reward,
    `import fs from 'node:fs';
let calls = 0;
const kill = (name) => process.kill(process.pid, name);
const pause = (ms) => new Promise((resolve) => setTimeout(resolve, ms));
export default async (images, prompts, options, { signal }) => {
  if (++calls === 4) { ${third} }
  return { values: prompts.map((_, image) => images.data[image]), grad: images.data.map((value) => 0.1 * value) };
};`,
  );
  const config = join(folder, 'config.json');
  const output = join(folder, 'run');
  writeFileSync(
    config,
    JSON.stringify({
      model,
      adapter: tinyAdapter,
      prompts: ['0'],
      rewards: [{ name: 'module', file: reward }],
      algorithm: { name: 'eam', solver: 'euler', steps: 1, renoisings: 1 },
      optimizer: { learningRate: 1e-3 },
      steps: 5,
      batch: 2,
      checkpoints: { every: 1000 },
      samples: { count: 2, columns: 2, steps: 1 },
      output,
    }),
  );
  return { config, output };
}

export const checkpointsOf = (output: string): string[] => {
  const folder = join(output, 'checkpoints');
  return existsSync(folder) ? readdirSync(folder) : [];
};
