// Folders of runs as `eam finetune` leaves them, written at once.
import { mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';

import { encode } from 'fast-png';

import type { Evaluation } from '../../lib/training/evaluation.js';
import { temporaryFolder } from './tiny-run.js';

/** A picture of one colour: a grid that can be told from others. */
export const grid = (shade: number): Uint8Array =>
  encode({ width: 40, height: 20, channels: 1, data: new Uint8Array(800).fill(shade) });

export const evaluation: Evaluation = {
  count: 512,
  seed: '2',
  before: {
    reward: { mean: -1, std: 0.5 },
    rewards: { a: { mean: 1, std: 2 }, b: { mean: 0, std: 1 } },
    accuracy: 0.9,
    diversity: 4,
  },
  after: {
    reward: { mean: 0, std: 0.4 },
    rewards: { a: { mean: 2, std: 2 }, b: { mean: -1, std: 1 } },
    accuracy: 0.95,
    diversity: 3,
  },
  gain: 2,
  diversityRatio: 0.75,
};

export const config = {
  model: 'digits',
  batch: 32,
  steps: 30,
  prompts: ['</script><script>alert(1)</script>', '3'],
  rewards: [
    { name: 'digit-classifier', weight: 2 },
    { name: 'stroke-weight', weight: 0.5 },
  ],
  algorithm: { name: 'eam', lambda: 12 },
  samples: { every: 10, count: 2, columns: 2, seed: 1, steps: 2, solver: 'euler', guidance: 1 },
};

/** The line of metrics.jsonl of a step. */
export const stepMetrics = (step: number) => ({
  step,
  reward: -3 + step / 10,
  rewardStd: 1,
  rewards: { 'digit-classifier': -step, 'stroke-weight': step },
  weightedRewards: { 'digit-classifier': -2 * step, 'stroke-weight': step / 2 },
  loss: step === 4 ? NaN : 1 / step,
  gradNorm: 0.5,
  dropped: 0,
  ...(step % 5 === 0 && { drift: step / 100 }),
  total: { forwards: 100 * step, vjps: 0, backwards: 50 * step, seconds: 0.7 * step },
});

export interface RunFolder {
  name?: string;
  config?: object;
  /** The lines of metrics.jsonl; default: of every step of the configuration. */
  lines?: readonly string[];
  /** A picture for each step that has one. */
  grids?: Readonly<Record<number, Uint8Array>>;
  evaluation?: unknown;
  /** The content of run.json. */
  status?: unknown;
}

/** Writes a run's folder, and returns its path. */
export function runFolder({
  name = 'run',
  config: own = config,
  lines = Array.from({ length: 30 }, (_, at) => JSON.stringify(stepMetrics(at + 1))),
  grids = { 0: grid(0), 10: grid(10), 20: grid(20), 30: grid(30) },
  evaluation: measured,
  status,
}: RunFolder = {}): string {
  const directory = join(temporaryFolder(), name);
  mkdirSync(join(directory, 'samples'), { recursive: true });
  writeFileSync(join(directory, 'config.json'), JSON.stringify(own));
  writeFileSync(join(directory, 'metrics.jsonl'), lines.map((line) => `${line}\n`).join(''));
  for (const [step, png] of Object.entries(grids)) writeFileSync(join(directory, 'samples', `step-${step}.png`), png);
  if (measured !== undefined) writeFileSync(join(directory, 'evaluation.json'), JSON.stringify(measured));
  if (status !== undefined) writeFileSync(join(directory, 'run.json'), JSON.stringify(status));
  return directory;
}
