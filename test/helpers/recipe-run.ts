// `eam reproduce` on the tiny Stable Diffusion 3.5 and the tiny published rewards: a few images of 32 pixels.
import { mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';

import { tinySd3 } from './sd3.js';

export const tinyRewards = fileURLToPath(new URL('../fixtures/rewards-tiny', import.meta.url));

/** Two steps of two images, evaluated with one. */
const settings = {
  device: 'cpu',
  dtype: 'float32',
  image: { width: 32, height: 32 },
  textLength: 16,
  batch: 2,
  steps: 2,
  adapter: { rank: 2, alpha: 4 },
  checkpoints: { every: 1 },
  samples: { count: 2, columns: 2, steps: 1, guidance: 3.5 },
  panel: { every: 1, count: 2 },
  'algorithm.solver': 'euler',
  'algorithm.steps': 1,
  'algorithm.renoisings': 1,
  'evaluation.steps': 1,
};

/** `--set` for each setting. */
export const tinySettings = (changes: object = {}): string[] =>
  Object.entries({ ...settings, ...changes }).flatMap(([key, value]) => ['--set', `${key}=${JSON.stringify(value)}`]);

/** Files of prompts in a folder: a list in JSON to train on, lines to evaluate on. */
export function promptFiles(folder: string): string[] {
  mkdirSync(folder, { recursive: true });
  const [training, evaluation] = [join(folder, 'train.json'), join(folder, 'test.txt')];
  writeFileSync(training, JSON.stringify(['a cup', { prompt: 'a tree' }, 'a house', 'a hill', '山']));
  writeFileSync(evaluation, 'a fox\na castle\na boat\n');
  return ['--train-prompts', training, '--prompts', evaluation];
}

/** The arguments of a run of two seeds in a folder. */
export const tinyRecipe = (folder: string, recipe = 'hpdv2'): string[] => [
  ...['reproduce', recipe, '--seeds', '2', '--model', tinySd3, '--rewards', tinyRewards],
  ...['--output', join(folder, 'out'), ...promptFiles(folder), ...tinySettings()],
];
