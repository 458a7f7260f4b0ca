// Folders of runs as they lie on the disk, without a run.
import { appendFileSync, mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';

import { encode } from 'fast-png';

export const png = (shade = 0): Uint8Array =>
  encode({ width: 2, height: 2, data: new Uint8Array(4).fill(shade), channels: 1, depth: 8 });

/** The line that a fine-tuning logs of a step. */
export const logged = (step: number, change: object = {}): object => ({
  step,
  reward: step / 10,
  rewardStd: 0.5,
  rewards: { bold: step / 10 },
  weightedRewards: { bold: step / 10 },
  loss: 1 / step,
  gradNorm: 0.1,
  dropped: 0,
  clipped: 0,
  capped: 0,
  skipped: false,
  seconds: 2,
  stages: { rollout: 0.5, reward: 0.25, matching: 1, update: 0.125 },
  total: { forwards: 10 * step, vjps: 0, backwards: 5 * step, seconds: 2 * step },
  ...change,
});

/** Appends lines to a run's metrics. */
export const append = (directory: string, ...rows: object[]): void =>
  appendFileSync(join(directory, 'metrics.jsonl'), rows.map((row) => `${JSON.stringify(row)}\n`).join(''));

/** Writes a run's folder with its first steps and grids. */
export function writeRun(
  directory: string,
  { steps = 3, grids = [0], config = {} }: { steps?: number; grids?: number[]; config?: object } = {},
): string {
  mkdirSync(join(directory, 'samples'), { recursive: true });
  const settings = { model: 'digits', prompts: ['0'], steps: 10, batch: 4, algorithm: { name: 'eam' }, ...config };
  writeFileSync(join(directory, 'config.json'), JSON.stringify({ ...settings, output: directory }));
  append(directory, ...Array.from({ length: steps }, (_, at) => logged(at + 1)));
  for (const step of grids) writeFileSync(join(directory, 'samples', `step-${step}.png`), png(step));
  return directory;
}
