// A fine-tuning that starts from an adapter: where it starts, and that the pretrained model stays what it is.
import { cpSync, existsSync, readFileSync, rmSync } from 'node:fs';
import { join } from 'node:path';

import { beforeAll, describe, expect, it } from 'vitest';

import { CheckpointError, ConfigError } from '../../lib/errors.js';
import { loadTensors } from '../../lib/files/safetensors.js';
import { startFrom } from '../../lib/jobs/finetune/start.js';
import { exportAdapter, readAdapter } from '../../lib/models/adapter-files.js';
import { loadModel } from '../../lib/models/registry.js';
import type { AdapterOptions, Model } from '../../lib/models/model.js';
import { distill, finetune } from '../helpers/jobs.js';
import { distillation } from '../helpers/distill.js';
import { updatesOf } from '../helpers/adapter-files.js';
import {
  floats,
  labels,
  largestRelativeError,
  normal,
  randomise,
  relativeError,
  snapshot,
} from '../helpers/tiny-model.js';
import { temporaryFolder, tinyAdapter, tinyModelDirectory } from '../helpers/tiny-run.js';

let model: string;
let start: string;
beforeAll(async () => {
  model = await tinyModelDirectory();
  using adapted = await loadModel(model, { adapter: tinyAdapter });
  await randomise(adapted.native, 'trainable', 0.3);
  start = join(temporaryFolder(), 'start');
  await adapted.saveAdapter(start);
});

const configOf = (change: object = {}) => ({
  model,
  prompts: ['0', '1', '2'],
  rewards: [{ name: 'stroke-weight', scale: 4 }],
  algorithm: { name: 'eam', solver: 'euler', steps: 2, renoisings: 2, delta: 0.3 },
  optimizer: { learningRate: 1e-2 },
  steps: 1,
  batch: 4,
  samples: { count: 2, columns: 2, steps: 2 },
  output: join(temporaryFolder(), 'run'),
  device: 'cpu',
  ...change,
});
const recordOf = (run: string) => JSON.parse(readFileSync(join(run, 'config.json'), 'utf8')) as { adapter: object };
const notes = () => {
  const lines: string[] = [];
  const observer = { note: (line: string) => void lines.push(line), begin() {}, advance() {}, end() {} };
  return { lines, observer };
};

async function started(adapter: AdapterOptions, from = start): Promise<Model> {
  const loaded = await loadModel(model, { adapter, seed: 3n });
  await startFrom(loaded, from, { onNote: () => {} });
  return loaded;
}
async function velocity({ native, latentShape }: Model, pretrained: boolean): Promise<number[]> {
  const x = await normal([2, ...latentShape], 8n);
  return floats(await native.velocity(x, Float32Array.of(0.3, 0.7), labels(1, 2), pretrained));
}

describe('startFrom', () => {
  it('puts the adapter where training starts, and leaves the pretrained model without it', async () => {
    using plain = await loadModel(model);
    using trained = await started(tinyAdapter);
    expect(await snapshot(trained.native.trainable())).toEqual(await snapshot((await readAdapter(start)).tensors));
    expect(await velocity(trained, true)).toEqual(await velocity(plain, true));
    expect(relativeError(await velocity(trained, false), await velocity(plain, true))).toBeGreaterThan(0.05);
  });

  it('has room left in a larger rank, where what is new is fresh, and keeps the update at another scale', async () => {
    const adapter = { rank: 5, alpha: 3, targets: ['attn.qkv', 'mlp.fc2', 'mlp.fc1'] };
    using fresh = await loadModel(model, { adapter, seed: 3n });
    using trained = await started(adapter);
    const before = await readAdapter(start);
    const [now, new_] = [trained.native.trainable(), await snapshot(fresh.native.trainable())];
    const updates = await updatesOf(now, adapter.alpha / adapter.rank);
    const expected = await updatesOf(before.tensors, 2);
    const started_ = Object.fromEntries(Object.keys(expected).map((layer) => [layer, updates[layer]!]));
    expect(largestRelativeError(started_, expected)).toBeLessThan(1e-6);
    const own = await snapshot(now);
    for (const [name, values] of Object.entries(new_)) {
      if (name.includes('mlp.fc1')) expect(own[name]).toEqual(values);
      // Directions that could never be trained would have zeros in A as well as in B.
      else if (name.endsWith('lora_A.weight')) expect(own[name]!.slice(-1).every((value) => value !== 0)).toBe(true);
    }
  });

  it('takes an adapter of any layout', async () => {
    const diffusers = join(temporaryFolder(), 'diffusers');
    await exportAdapter(start, diffusers, 'diffusers');
    using trained = await started(tinyAdapter, join(diffusers, 'pytorch_lora_weights.safetensors'));
    expect(await snapshot(trained.native.trainable())).toEqual(await snapshot((await readAdapter(start)).tensors));
  });

  it.each([
    {
      what: 'a rank that is too small',
      adapter: { ...tinyAdapter, rank: 1 },
      says: /adapter\.rank: expected at least 2, the rank of adapter\.from, .*start, got 1/,
    },
    {
      what: 'targets that leave layers out',
      adapter: { ...tinyAdapter, targets: ['attn.qkv'] },
      says: /targets: expected the layers of adapter\.from, .*, got none of blocks\.0\.mlp\.fc2, blocks\.1\.mlp\.fc2/,
    },
  ])('refuses $what', async ({ adapter, says }) => {
    const error = await started(adapter).catch((caught: unknown) => caught);
    expect(error).toBeInstanceOf(ConfigError);
    expect((error as Error).message).toMatch(says);
  });
});

describe('finetune with adapter.from', () => {
  it('takes rank, alpha and layers from it, records them, and starts there', async () => {
    const { lines, observer } = notes();
    // No step changes anything.
    const optimizer = { learningRate: 1e-30 };
    const { adapter, directory } = await finetune(configOf({ adapter: { from: start }, optimizer }), { observer });
    expect(recordOf(directory).adapter).toEqual({ ...tinyAdapter, from: start });
    expect(lines).toContain(`starting from ${start}; the pretrained model is ${model} without it`);
    const trained = await snapshot((await readAdapter(adapter)).tensors);
    expect(largestRelativeError(trained, await snapshot((await readAdapter(start)).tensors))).toBeLessThan(1e-6);
    const metrics = readFileSync(join(directory, 'metrics.jsonl'), 'utf8').trim().split('\n');
    // Drift is measured from the pretrained model: a run that starts from an adapter begins away from it.
    expect((JSON.parse(metrics[0]!) as { drift: number }).drift).toBeGreaterThan(0.01);
  });

  it('draws the pretrained model, and regresses on its endpoints, as a run that starts from nothing', async () => {
    const algorithm = { ...configOf().algorithm, endpoints: 'pretrained', endpointsPerPrompt: 4 };
    const runs = [];
    for (const adapter of [{ from: start }, tinyAdapter]) runs.push(await finetune(configOf({ adapter, algorithm })));
    const [from, fresh] = runs.map(({ directory }) => ({
      grid: readFileSync(join(directory, 'samples', 'step-0.png')),
      metrics: JSON.parse(readFileSync(join(directory, 'metrics.jsonl'), 'utf8')) as { reward: number; loss: number },
    }));
    expect(from!.grid.equals(fresh!.grid)).toBe(true);
    expect(from!.metrics.reward).toBe(fresh!.metrics.reward);
    // The same targets, met from elsewhere.
    expect(from!.metrics.loss).not.toBe(fresh!.metrics.loss);
  });

  it("starts from a run's newest checkpoint, and a resumed run needs it no more", async () => {
    const before = await finetune(configOf({ adapter: tinyAdapter, steps: 2 }));
    const config = configOf({ adapter: { from: before.directory }, steps: 2, checkpoints: { every: 1 } });
    const whole = await finetune(config);
    expect(recordOf(whole.directory).adapter).toEqual({ ...tinyAdapter, from: before.adapter });
    const halfway = join(temporaryFolder(), 'run');
    cpSync(whole.directory, halfway, { recursive: true });
    rmSync(join(halfway, 'checkpoints', 'step-2'), { recursive: true });
    rmSync(before.directory, { recursive: true });
    const record = JSON.parse(readFileSync(join(halfway, 'config.json'), 'utf8')) as object;
    const resumed = await finetune({ ...record, output: halfway }, { resume: true });
    const weights = async (adapter: string) => snapshot(await loadTensors(join(adapter, 'adapter_model.safetensors')));
    expect(await weights(resumed.adapter)).toEqual(await weights(whole.adapter));
  });

  it('starts there again where a run was stopped before its first checkpoint', async () => {
    const config = configOf({ adapter: { from: start }, optimizer: { learningRate: 1e-30 } });
    const whole = await finetune(config);
    rmSync(join(whole.directory, 'checkpoints'), { recursive: true });
    const again = await finetune(config, { resume: true });
    expect(await snapshot((await readAdapter(again.adapter)).tensors)).toEqual(
      await snapshot((await readAdapter(whole.adapter)).tensors),
    );
  });

  it.each([
    {
      what: 'an adapter that was distilled from guidance',
      from: async () => (await distill(distillation(model))).directory,
      kind: ConfigError,
      says: /was distilled from guidance, which the pretrained model .* would not have: fold it in with eam merge/,
    },
    {
      what: "another model's run",
      from: async () => {
        const other = await tinyModelDirectory({ mlpRatio: 1 });
        return (await finetune(configOf({ model: other, adapter: { ...tinyAdapter, targets: ['attn.qkv'] } })))
          .directory;
      },
      kind: CheckpointError,
      says: /was trained on another model than .* holds now; start from an adapter of this model/,
    },
    {
      what: 'nothing',
      from: async () => join(temporaryFolder(), 'nowhere'),
      kind: CheckpointError,
      says: /there is no adapter at .*nowhere/,
    },
  ])('refuses $what, before a folder is made', async ({ from, kind, says }) => {
    const config = configOf({ adapter: { from: await from() } });
    const error = await finetune(config).catch((caught: unknown) => caught);
    expect(error).toBeInstanceOf(kind);
    expect((error as Error).message).toMatch(says);
    expect(existsSync(config.output)).toBe(false);
  });

  it('is an unknown key of what starts from nothing', async () => {
    const config = { ...distillation(model), adapter: { from: start } };
    await expect(distill(config)).rejects.toThrow(/adapter.*from/);
  });
});
