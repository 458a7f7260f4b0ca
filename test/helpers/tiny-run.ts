// A model directory and a trainer small enough to train in a test.
import { mkdtempSync, readFileSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

import { eam } from '../../lib/training/algorithms.js';
import type { Model } from '../../lib/models/model.js';
import { loadModel } from '../../lib/models/registry.js';
import type { Reward } from '../../lib/rewards/reward.js';
import { strokeWeight } from '../../lib/rewards/stroke-weight.js';
import { saveTensors } from '../../lib/files/safetensors.js';
import { Trainer } from '../../lib/training/trainer.js';
import type { TrainerOptions } from '../../lib/training/trainer-options.js';
import { tinyConfig, tinyModel } from './tiny-model.js';

export const temporaryFolder = (): string => mkdtempSync(join(tmpdir(), 'eam-test-'));

/** The directory of a tiny model with random weights; it draws "0", "1" and "2" of 8×8 pixels. */
export async function tinyModelDirectory(change: Partial<typeof tinyConfig> = {}): Promise<string> {
  const config = { ...tinyConfig, ...change };
  const directory = temporaryFolder();
  writeFileSync(join(directory, 'config.json'), JSON.stringify({ type: 'digits', ...config }));
  await saveTensors(join(directory, 'model.safetensors'), (await tinyModel(undefined, config)).weights());
  return directory;
}

export const tinyAdapter = { rank: 2, alpha: 4, targets: ['attn.qkv', 'mlp.fc2'] };

export interface TinyRun {
  trainer: Trainer;
  model: Model;
  checkpoints: string;
}

export async function tinyRun(
  modelDirectory: string,
  checkpoints = temporaryFolder(),
  change: Partial<TrainerOptions> & { reward?: Reward } = {},
): Promise<TinyRun> {
  const model = await loadModel(modelDirectory, { adapter: tinyAdapter, seed: 5n });
  const trainer = new Trainer({
    model,
    reward: strokeWeight({ scale: 4 }),
    prompts: ['0', '1', '2'],
    algorithm: eam({ steps: 2, renoisings: 2, solver: 'euler', delta: 0.3, rewardGradientQuantile: 0.9 }),
    optimizer: { learningRate: 1e-2, emaDecay: 0.9, warmup: 2, schedule: 'cosine' },
    batch: 8,
    seed: 7,
    checkpoints: { directory: checkpoints, every: 100 },
    ...change,
  });
  return { trainer, model, checkpoints };
}

/** SHA-256 of a checkpoint's tensors: weights, moments, averages and the adapter. */
export function tensorHashes(checkpoints: string, step: number): Record<string, string> {
  const { files } = JSON.parse(readFileSync(join(checkpoints, `step-${step}`, 'manifest.json'), 'utf8'));
  return { training: files['training.safetensors'].sha256, adapter: files['adapter_model.safetensors'].sha256 };
}
