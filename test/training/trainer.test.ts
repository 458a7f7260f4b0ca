import { readdirSync, readFileSync, truncateSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';

import { beforeAll, describe, expect, it } from 'vitest';

import type { Algorithm } from '../../lib/training/algorithm.js';
import { eam } from '../../lib/training/algorithms.js';
import { newestWholeCheckpoint } from '../../lib/files/checkpoints.js';
import { CheckpointError, ConfigError, DisposedError, type EamError } from '../../lib/errors.js';
import { loadModel } from '../../lib/models/registry.js';
import { readHeader } from '../../lib/files/safetensors.js';
import type { StepMetrics } from '../../lib/training/metrics.js';
import { temporaryFolder, tensorHashes, tinyAdapter, tinyModelDirectory, tinyRun } from '../helpers/tiny-run.js';
import { disturbed, steps, train } from '../helpers/training-run.js';

let model: string;
let uninterrupted: Record<string, string>;
let metrics: StepMetrics[];

beforeAll(async () => {
  model = await tinyModelDirectory();
  const { trainer, checkpoints } = await tinyRun(model);
  metrics = await train(trainer);
  uninterrupted = tensorHashes(checkpoints, steps);
});

describe('Trainer.run', () => {
  it('reports every step', () => {
    expect(metrics.map(({ step }) => step)).toEqual([1, 2, 3, 4, 5, 6]);
    const [first, , , , , last] = metrics;
    // 8 samples: 2 Euler steps, the score, 2 renoisings; the backward passes are those of the renoisings.
    expect([first!.forwards, first!.vjps, first!.backwards]).toEqual([8 * 5, 0, 8 * 2]);
    expect(last!.total).toMatchObject({ forwards: 6 * 40, vjps: 0, backwards: 6 * 16 });
    expect(last!.total.seconds).toBeCloseTo(
      metrics.reduce((sum, { seconds }) => sum + seconds, 0),
      6,
    );
    expect(Object.keys(first!.rewards)).toEqual(['stroke-weight']);
    expect(first!.rewards['stroke-weight']).toBeCloseTo(first!.reward, 6);
    for (const step of metrics) {
      expect(step.rewardStd).toBeGreaterThan(0);
      expect(step.loss).toBeGreaterThan(0);
      expect(step.gradNorm).toBeGreaterThan(0);
      expect(step).toMatchObject({ dropped: 0, skipped: false });
    }
    expect(first!.learningRate).toBeCloseTo(0.005, 12);
  });

  it('raises the reward', async () => {
    const { trainer } = await tinyRun(model, temporaryFolder(), {
      algorithm: eam({ steps: 2, solver: 'euler', delta: 0.3, lambda: 1000 }),
    });
    const rewards = (await train(trainer, 40)).map(({ reward }) => reward);
    const mean = (part: number[]) => part.reduce((sum, value) => sum + value, 0) / part.length;
    expect(mean(rewards.slice(-8))).toBeGreaterThan(mean(rewards.slice(0, 8)) + 0.1);
  });

  it('gives the same results whenever it is repeated', async () => {
    const { trainer, checkpoints } = await tinyRun(model);
    const again = await train(trainer);
    expect(again.map(({ loss }) => loss)).toEqual(metrics.map(({ loss }) => loss));
    expect(tensorHashes(checkpoints, steps)).toEqual(uninterrupted);
  });

  it("writes the averaged adapter in PEFT's layout, and samples with it", async () => {
    const { trainer, checkpoints } = await tinyRun(model);
    await train(trainer);
    const directory = join(checkpoints, `step-${steps}`);
    expect(readdirSync(directory).sort()).toEqual([
      'adapter_config.json',
      'adapter_model.safetensors',
      'manifest.json',
      'state.json',
      'training.safetensors',
    ]);
    expect(JSON.parse(readFileSync(join(directory, 'adapter_config.json'), 'utf8'))).toMatchObject({
      peft_type: 'LORA',
      r: 2,
      lora_alpha: 4,
      target_modules: ['attn.qkv', 'mlp.fc2'],
      base_model_name_or_path: model,
    });
    const names = (await readHeader(join(directory, 'adapter_model.safetensors'))).entries.map(({ name }) => name);
    expect(names).toContain('base_model.model.blocks.0.attn.qkv.lora_A.weight');
    expect(names).toContain('base_model.model.blocks.1.mlp.fc2.lora_B.weight');
    expect(names).toHaveLength(8);

    const options = { prompts: ['0', '1', '2'], seed: 3n, steps: 3 };
    using other = await loadModel(model, { adapter: tinyAdapter });
    const { sampleImages } = await import('../../lib/training/sampler.js');
    const untrained = await (await sampleImages(other, options)).data();
    await other.loadAdapter(directory);
    const loaded = await (await sampleImages(other, options)).data();
    expect(loaded).toEqual(await (await trainer.sample(options)).data());
    expect(loaded).not.toEqual(untrained);
    expect(await (await sampleImages(other, { ...options, weights: 'pretrained' })).data()).toEqual(untrained);
  });
});

describe('Trainer.run, stopped,', () => {
  it('ends with the same weights when it is stopped between steps and resumed', async () => {
    const { trainer, checkpoints } = await tinyRun(model);
    for await (const { step } of trainer.run({ steps })) if (step === 3) break;
    expect(readdirSync(checkpoints)).toEqual(['step-3']);
    const resumed = await tinyRun(model, checkpoints);
    await resumed.trainer.resume(join(checkpoints, 'step-3'));
    expect(resumed.trainer.step).toBe(3);
    const rest = await train(resumed.trainer);
    expect(rest.map(({ loss }) => loss)).toEqual(metrics.slice(3).map(({ loss }) => loss));
    expect(rest.at(-1)!.total.forwards).toBe(metrics.at(-1)!.total.forwards);
    expect(tensorHashes(checkpoints, steps)).toEqual(uninterrupted);
  });

  it('gives each step away before its checkpoint, so that nothing is recorded after it', async () => {
    const { trainer, checkpoints } = await tinyRun(model, temporaryFolder(), {});
    const every = await tinyRun(model, checkpoints, { checkpoints: { directory: checkpoints, every: 1 } });
    const seen: string[][] = [];
    for await (const { step } of every.trainer.run({ steps: 3 })) {
      seen.push(readdirSync(checkpoints));
      expect(every.trainer.last!.step).toBe(step);
    }
    expect(seen).toEqual([[], ['step-1'], ['step-1', 'step-2']]);
    // Where recording fails, the step's metrics are in its checkpoint.
    const failing = async () => {
      for await (const { step } of every.trainer.run({ steps })) if (step === 5) throw new Error('no space');
    };
    await expect(failing()).rejects.toThrow('no space');
    await trainer.resume(join(checkpoints, 'step-5'));
    const untimed = { seconds: 0, stages: 0, total: 0 };
    expect({ ...trainer.last, ...untimed }).toEqual({ ...metrics[4], ...untimed });
    expect(trainer.last!.total.forwards).toBe(metrics[4]!.total.forwards);
  });

  it.each([1, 4])('has written the step before when a signal comes within step %i, and can go on', async (call) => {
    const interrupt = new AbortController();
    const reason = new Error('enough');
    const reward = disturbed(call, () => interrupt.abort(reason));
    const { trainer, checkpoints } = await tinyRun(model, temporaryFolder(), { reward });
    await expect(train(trainer, steps, interrupt.signal)).rejects.toBe(reason);
    expect(readdirSync(checkpoints)).toEqual([`step-${call - 1}`]);
    await train(trainer);
    expect(tensorHashes(checkpoints, steps)).toEqual(uninterrupted);
  });

  it('throws the reason of a signal that was aborted before it started', async () => {
    const { trainer } = await tinyRun(model);
    const reason = new Error('never mind');
    await expect(train(trainer, steps, AbortSignal.abort(reason))).rejects.toBe(reason);
  });

  it('names the reward that throws, and loses nothing', async () => {
    const cause = new Error('the service is down');
    const reward = disturbed(3, () => {
      throw cause;
    });
    const { trainer, checkpoints } = await tinyRun(model, temporaryFolder(), { reward });
    const error = await train(trainer).catch((caught: unknown) => caught as EamError);
    expect(error).toMatchObject({
      code: 'ERR_EAM_REWARD',
      message: 'reward "stroke-weight" failed: the service is down',
      cause,
    });
    const { trainer: next } = await tinyRun(model, checkpoints);
    // A reward of the test's own is known by its name, one of the package by its settings.
    await next.resume((await newestWholeCheckpoint(checkpoints))!.directory, { allow: ['rewards'] });
    expect(next.step).toBe(2);
    await train(next);
    expect(tensorHashes(checkpoints, steps)).toEqual(uninterrupted);
  });
});

describe('a checkpoint of a Trainer', () => {
  it('is refused when it is cut in half, and the one before it is used', async () => {
    const { trainer, checkpoints } = await tinyRun(model, temporaryFolder(), {});
    for await (const { step } of trainer.run({ steps })) if (step === 2) await trainer.save();
    const damaged = join(checkpoints, `step-${steps}`, 'training.safetensors');
    truncateSync(damaged, 1000);
    const { trainer: next } = await tinyRun(model);
    await expect(next.resume(join(checkpoints, `step-${steps}`))).rejects.toThrow(
      /training\.safetensors: expected \d+ bytes, got 1000/,
    );
    expect((await newestWholeCheckpoint(checkpoints))!.step).toBe(2);
  });

  it('is an error when it cannot be written, also where the loop is left', async () => {
    const file = join(temporaryFolder(), 'file');
    writeFileSync(file, '');
    const { trainer } = await tinyRun(model, join(file, 'checkpoints'));
    const left = async () => {
      for await (const { step } of trainer.run({ steps })) if (step === 1) break;
    };
    await expect(left()).rejects.toThrow(/checkpoint .*step-1 could not be written/);
  });

  it('is neither kept for a new run nor removed by it when it is of an earlier run', async () => {
    const { trainer, checkpoints } = await tinyRun(model);
    await train(trainer, 2);
    const { trainer: anew } = await tinyRun(model, checkpoints, { optimizer: { learningRate: 1 } });
    const message = /holds checkpoints of an earlier run; go on from one with trainer\.resume\('.*step-2'\)/;
    await expect(train(anew)).rejects.toThrow(message);
    await expect(anew.save()).rejects.toThrow(message);
    expect(readdirSync(checkpoints)).toEqual(['step-2']);
  });

  it('is reported with the error before it when it cannot be written', async () => {
    const file = join(temporaryFolder(), 'file');
    writeFileSync(file, '');
    const reward = disturbed(2, () => {
      throw new Error('the service is down');
    });
    const { trainer } = await tinyRun(model, join(file, 'checkpoints'), { reward });
    await expect(train(trainer)).rejects.toMatchObject({
      code: 'ERR_EAM_REWARD',
      suppressed: [{ code: 'ERR_EAM_CHECKPOINT', message: expect.stringMatching(/step-1 could not be written/) }],
    });
  });

  it('is not written of a step that could not be undone, and hides no error', async () => {
    const down = new Error('the service is down');
    const failing = eam({ steps: 2, renoisings: 2, solver: 'euler', delta: 0.3 });
    const algorithm: Algorithm = {
      ...failing,
      create(model) {
        const inner = failing.create(model);
        return {
          rollout: (args) => inner.rollout(args),
          keep: (...args) => inner.keep(...args),
          recall: (args) => inner.recall(args),
          accumulate: (...args) => inner.accumulate(...args),
          state: () => inner.state(),
          load: () => {
            throw new Error('no way back');
          },
        };
      },
    };
    const { trainer, checkpoints } = await tinyRun(model, temporaryFolder(), {
      algorithm,
      reward: disturbed(1, () => {
        throw down;
      }),
    });
    const message = /step 1 failed and could not be undone \(no way back\)/;
    await expect(train(trainer)).rejects.toMatchObject({
      code: 'ERR_EAM_REWARD',
      cause: down,
      suppressed: [{ message: 'no way back' }, { message: expect.stringMatching(message) }],
    });
    expect(readdirSync(checkpoints)).toEqual([]);
    await expect(train(trainer)).rejects.toThrow(message);
  });

  it('is refused when it is of another run', async () => {
    const { trainer, checkpoints } = await tinyRun(model);
    await train(trainer, 1);
    const directory = join(checkpoints, 'step-1');
    const { trainer: otherSeed } = await tinyRun(model, temporaryFolder(), { seed: 8 });
    await expect(otherSeed.resume(directory)).rejects.toThrow(/: expected a run with seed 8, .*, got 7/);
    const { trainer: otherBatch } = await tinyRun(model, temporaryFolder(), { batch: 4 });
    await expect(otherBatch.resume(directory)).rejects.toThrow(/: expected a run with batch 4, .*, got 8; go on/);
    using larger = await loadModel(model, { adapter: { ...tinyAdapter, rank: 3 } });
    const { trainer: otherRank } = await tinyRun(model, temporaryFolder(), { model: larger });
    await expect(otherRank.resume(directory)).rejects.toThrow(CheckpointError);
    await expect(larger.loadAdapter(directory)).rejects.toThrow(
      /: expected an adapter of rank 3 and .*, got rank 2 and alpha 4/,
    );
  });
});

describe('the options of a Trainer', () => {
  it('are checked', async () => {
    using plain = await loadModel(model);
    await expect(tinyRun(model, temporaryFolder(), { model: plain })).rejects.toThrow(
      /the model has no adapters.*load it with an adapter/,
    );
    await expect(tinyRun(model, temporaryFolder(), { prompts: [] })).rejects.toThrow(ConfigError);
    await expect(tinyRun(model, temporaryFolder(), { prompts: ['0', 1 as never] })).rejects.toThrow(
      /prompts\[1\]: expected a string, got 1/,
    );
    await expect(tinyRun(model, temporaryFolder(), { optimizer: { learningRate: 0 } })).rejects.toThrow(
      /optimizer\.learningRate: expected a number above 0, got 0/,
    );
    await expect(tinyRun(model, temporaryFolder(), { batch: 0.5 })).rejects.toThrow(/batch: expected a whole number/);
    await expect(loadModel(model, { adapter: { ...tinyAdapter, targets: ['attn.qvk'] } })).rejects.toThrow(
      /adapter\.targets: expected ends of layers' names, got "attn\.qvk"/,
    );
    await expect(loadModel(temporaryFolder())).rejects.toThrow(/no model at/);
  });

  it('are refused with a disposed model', async () => {
    const disposed = await loadModel(model, { adapter: tinyAdapter });
    disposed.dispose();
    await expect(tinyRun(model, temporaryFolder(), { model: disposed })).rejects.toThrow(DisposedError);
  });

  it('are refused with a digit that the model does not know', async () => {
    const { trainer } = await tinyRun(model, temporaryFolder(), { prompts: ['7'] });
    await expect(train(trainer)).rejects.toThrow(
      /prompt: expected a digit from 0 to 2, which this model knows, got "7"/,
    );
  });
});
