// The clocks that benchmarks read: every stage of an iteration is timed, and none twice.

import { afterEach, describe, expect, it, vi } from 'vitest';

import { createAlgorithm, eam } from '../../lib/training/algorithms.js';
import { finetuneSchema } from '../../lib/jobs/settings/finetune.js';
import { loadModel } from '../../lib/models/registry.js';
import { binding } from '../../lib/runtime/native/index.js';
import { strokeWeight } from '../../lib/rewards/stroke-weight.js';
import { StageClock } from '../../lib/training/stage-clock.js';
import { Trainer } from '../../lib/training/trainer.js';
import { tinyModelDirectory } from '../helpers/tiny-run.js';

describe('the stages of an iteration', () => {
  it.each(['eam', 'am'])('are timed and add up to less than the whole, for %s', async (name) => {
    const settings = { name, steps: 2, decodeSlice: 1 };
    const { algorithm } = finetuneSchema.parse({
      model: 'digits',
      prompts: ['0'],
      rewards: [{ name: 'stroke-weight' }],
      algorithm: settings,
      optimizer: { learningRate: 1e-3 },
      steps: 1,
    });
    using model = await loadModel(await tinyModelDirectory(), { adapter: { rank: 2, alpha: 4 } });
    const trainer = new Trainer({
      model,
      reward: strokeWeight(),
      prompts: ['0', '1'],
      algorithm: createAlgorithm(algorithm),
      optimizer: { learningRate: 1e-3 },
      batch: 4,
    });
    await binding().timeStages('cpu');
    for await (const { seconds } of trainer.run({ steps: 2 })) {
      const stages = await binding().stageSeconds();
      expect(Object.keys(stages).sort()).toEqual(['decoding', 'matching', 'rewardGradient', 'rollout', 'update']);
      for (const part of Object.values(stages)) expect(part).toBeGreaterThan(0);
      expect(Object.values(stages).reduce((sum, part) => sum + part, 0)).toBeLessThan(seconds);
    }
    expect(await binding().stageSeconds()).toEqual({});
  });
});

describe("a step's clock", () => {
  afterEach(() => vi.restoreAllMocks());
  const at = (milliseconds: number) => vi.spyOn(performance, 'now').mockReturnValue(milliseconds);

  it('charges a stage with the time of its work, also where that fails or comes again', async () => {
    at(1000);
    const clock = new StageClock();
    at(3000);
    await clock.time(
      'rollout',
      Promise.resolve().then(() => void at(3500)),
    );
    const fails = async () => {
      await null;
      at(5500);
      throw new Error('no');
    };
    const failing = clock.time('reward', fails());
    await expect(failing).rejects.toThrow('no');
    await clock.time(
      'reward',
      Promise.resolve().then(() => void at(6000)),
    );
    at(9000);
    expect(clock.read()).toEqual({ seconds: 8, stages: { rollout: 0.5, reward: 2.5, matching: 0, update: 0 } });
  });

  it('gives metrics stages that were all timed and add up to less than the step', async () => {
    using model = await loadModel(await tinyModelDirectory(), { adapter: { rank: 2, alpha: 4 } });
    for (const endpoints of ['current', 'pretrained'] as const) {
      const trainer = new Trainer({
        model,
        reward: strokeWeight(),
        prompts: ['0', '1'],
        algorithm: eam({ steps: 2, ...(endpoints === 'pretrained' && { endpoints, endpointsPerPrompt: 4 }) }),
        optimizer: { learningRate: 1e-3 },
        batch: 4,
      });
      for await (const { seconds, stages } of trainer.run({ steps: 1 })) {
        const { reward, ...others } = stages;
        // Stored endpoints were scored before, so that only current ones take time for it.
        expect(reward > 0).toBe(endpoints === 'current');
        for (const part of Object.values(others)) expect(part).toBeGreaterThan(0);
        expect(Object.values(stages).reduce((sum, part) => sum + part, 0)).toBeLessThan(seconds);
      }
    }
  });
});

describe('the measurements of rates', () => {
  // That larger ones take longer: test/measured/rates.check.ts.
  it('time products of matrices', async () => {
    expect(await binding().matrixProductSeconds(512, 3, 'float32', 'cpu')).toBeGreaterThan(0);
    expect(await binding().matrixProductSeconds(64, 1, 'bfloat16', 'cpu')).toBeGreaterThan(0);
    await expect(binding().synchronize('cpu')).resolves.toBeUndefined();
  });

  it('refuse sizes, dtypes and devices that are not there', async () => {
    await expect(binding().matrixProductSeconds(0, 1, 'float32', 'cpu')).rejects.toThrow(
      /size: expected at least 1, got 0/,
    );
    await expect(binding().matrixProductSeconds(8, 1, 'float8' as never, 'cpu')).rejects.toThrow(
      /matrixProductSeconds: dtype: expected/,
    );
    await expect(binding().matrixProductSeconds(8, 1, 'int64', 'cpu')).rejects.toThrow(/floating-point/);
    await expect(binding().cudaPeakMemory('cpu')).rejects.toThrow(/expected "cuda" or "cuda:N", got "cpu"/);
    await expect(binding().timeStages('cuda:97')).rejects.toThrow(/timeStages: device: expected/);
  });
});
