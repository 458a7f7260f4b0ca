// Fine-tuning FLUX.2 [klein] from end to end, on the tiny directory.
import { existsSync, mkdtempSync, readFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

import { beforeAll, describe, expect, it, vi } from 'vitest';

import { loadModel } from '../../lib/models/registry.js';
import { binding } from '../../lib/runtime/native/index.js';
import { sampleImages } from '../../lib/training/sampler.js';
import type { StepMetrics } from '../../lib/training/metrics.js';
import { finetune } from '../helpers/jobs.js';
import { eam } from '../helpers/command-line.js';
import { otherFlux2, tinyFlux2 } from '../helpers/flux2.js';
import { numbersOf } from '../helpers/numbers.js';
import { failure } from '../helpers/refusal.js';
import { ConfigError } from '../../lib/errors.js';

const folder = mkdtempSync(join(tmpdir(), 'eam-flux2-finetune-'));
beforeAll(() => {
  // Where text embeddings are kept; not before LibTorch is found, which may be in the user's own cache.
  binding();
  vi.stubEnv('XDG_CACHE_HOME', join(folder, 'cache'));
});

const config = (output: string, changes: object = {}) => ({
  model: tinyFlux2,
  image: { width: 12, height: 16 },
  textLength: 16,
  prompts: ['a red fox', 'the moon'],
  adapter: { rank: 4, alpha: 8 },
  rewards: [{ name: 'stroke-weight', scale: 10 }],
  algorithm: { name: 'eam', C: 1, lambda: 3000, delta: 0.3, solver: 'euler', steps: 3, renoisings: 2 },
  optimizer: { learningRate: 1e-2, clip: 10 },
  steps: 12,
  batch: 8,
  seed: 1,
  checkpointing: true,
  samples: { count: 2, columns: 2, steps: 2 },
  evaluation: { count: 16, steps: 3 },
  output: join(folder, output),
  ...changes,
});

const rewardsOf = (directory: string): number[] =>
  readFileSync(join(directory, 'metrics.jsonl'), 'utf8')
    .trim()
    .split('\n')
    .map((line) => (JSON.parse(line) as StepMetrics).reward);
const mean = (values: readonly number[]) => values.reduce((sum, value) => sum + value, 0) / values.length;

describe('fine-tuning FLUX.2', () => {
  it('raises the reward, and the adapter is sampled, exported and merged', async () => {
    const { directory, evaluation } = await finetune(config('raised'));
    const rewards = rewardsOf(directory);
    expect(mean(rewards.slice(-4))).toBeGreaterThan(mean(rewards.slice(0, 4)));
    expect(evaluation!.gain).toBeGreaterThan(1);
    // What the run drew with where nobody says: diffusers' own.
    const record = JSON.parse(readFileSync(join(directory, 'config.json'), 'utf8')) as { evaluation: object };
    expect(record.evaluation).toMatchObject({ guidance: 4, solver: 'euler' });

    const lora = join(folder, 'lora');
    expect(await eam('export', directory, lora)).toMatchObject({ code: 0 });
    expect(existsSync(join(lora, 'pytorch_lora_weights.safetensors'))).toBe(true);
    const merged = join(folder, 'merged');
    expect(await eam('merge', '--adapter', directory, '--out', merged)).toMatchObject({ code: 0 });

    // The merged model draws what the adapted one does; the pretrained one something else.
    const drawn = async (model: string, adapter?: string): Promise<number[]> => {
      const trained = { rank: 4, alpha: 8 };
      using loaded = await loadModel(model, {
        size: { width: 12, height: 16 },
        textLength: 16,
        ...(adapter !== undefined && { adapter: trained }),
      });
      if (adapter !== undefined) await loaded.loadAdapter(adapter);
      const settings = { steps: 2, solver: 'euler', guidance: 4 } as const;
      using images = await sampleImages(loaded, { prompts: ['a red fox'], seed: 4n, ...settings });
      return numbersOf(images);
    };
    const distance = (a: number[], b: number[]) => Math.max(...a.map((value, index) => Math.abs(value - b[index]!)));
    const adapted = await drawn(tinyFlux2, lora);
    expect(distance(await drawn(merged), adapted)).toBeLessThan(1e-4);
    expect(distance(await drawn(tinyFlux2), adapted)).toBeGreaterThan(0.01);
  });

  it('names each single-stream block in the adapter, as PEFT needs it', async () => {
    const { directory } = await finetune(config('named', { steps: 1, evaluation: undefined }));
    const path = join(directory, 'checkpoints/step-1/adapter_config.json');
    const { target_modules: targets } = JSON.parse(readFileSync(path, 'utf8')) as { target_modules: string[] };
    expect(targets).toContain('single_transformer_blocks.2.attn.to_out');
    expect(targets).not.toContain('attn.to_out');
  });
});

describe('a distilled FLUX.2', () => {
  const distilled = otherFlux2('single-only');

  it('is drawn without guidance, and trained so', async () => {
    const { directory } = await finetune(
      config('distilled', { model: distilled, steps: 2, evaluation: undefined, image: { width: 16, height: 16 } }),
    );
    const { samples } = JSON.parse(readFileSync(join(directory, 'config.json'), 'utf8')) as { samples: object };
    expect(samples).toMatchObject({ guidance: 1 });
  });

  it('refuses guidance before it encodes a prompt', async () => {
    using model = await loadModel(distilled, { size: { width: 16, height: 16 }, textLength: 16 });
    const prepare = vi.spyOn(model, 'prepare');
    const drawing = { prompts: ['a red fox'], seed: 1n, guidance: 3 };
    expect(await failure(ConfigError, sampleImages(model, drawing))).toMatch(/cannot be guided/);
    expect(prepare).not.toHaveBeenCalled();
  });

  it('refuses guidance, and says why', async () => {
    const run = await eam('sample', '--model', distilled, '--guidance', '3', '--prompt', 'a fox', '--out', folder);
    expect(run.code).not.toBe(0);
    expect(run.stderr).toMatch(/distilled from guidance \("is_distilled" in model_index\.json\) and cannot be guided/);
    const guided = config('guided', {
      model: distilled,
      image: { width: 16, height: 16 },
      samples: { count: 2, columns: 2, steps: 2, guidance: 2 },
    });
    expect(await failure(ConfigError, finetune(guided))).toMatch(/cannot be guided; draw and train it at guidance 1/);
    // Before anything is written.
    expect(existsSync(guided.output)).toBe(false);
  });
});
