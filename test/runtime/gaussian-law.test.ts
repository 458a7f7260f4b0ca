import { beforeAll, describe, expect, it } from 'vitest';

import { binding } from '../../lib/runtime/native/index.js';
import type { DigitsModelConfig, NativeAlgorithm, NativeFlowModel } from '../../lib/runtime/native/binding.js';
import { adamW, eamOptions, floats, freshModel, labels, snapshot } from '../helpers/tiny-model.js';

const tensor = (data: number[], shape: readonly number[]) => binding().Tensor.from(Float32Array.from(data), shape);

// One pixel, whose values have a known law: a linear reward λ c·(x + 1)/2 on N(m, s²) moves the mean by λ c s²/2 and
// leaves the variance alone.
describe('training on a Gaussian', () => {
  const config: DigitsModelConfig = {
    imageSize: 1,
    channels: 1,
    patchSize: 1,
    width: 32,
    depth: 2,
    heads: 2,
    mlpRatio: 2,
    classes: 1,
  };
  const mean = 0.2;
  const deviation = 0.4;
  const count = 128;
  const c = 3;
  const lambda = 1;
  const cancellation = new (binding().Cancellation)();
  let pretrained: Record<string, number[]>;

  beforeAll(async () => {
    // Each operation is too small to share.
    await binding().setThreads(1);
    const base = freshModel({ config, seed: 3n });
    const optimizer = adamW(base, { emaDecay: 0.98 });
    const offset = tensor(new Array(count).fill(1), [count, 1, 1, 1]);
    for (let k = 0; k < 700; k++) {
      const noise = await binding().philoxNormal([count, 1, 1, 1], { seed: 5n, stream: BigInt(k) });
      await binding().flowMatching(base, {
        x1: await binding().weightedSum([noise, offset], [deviation, mean]),
        conditioning: labels(0),
        unconditional: labels(1),
        dropout: 0,
        timeDistribution: 'uniform',
        seed: 6n,
        step: k,
        cancellation,
      });
      await optimizer.step(2e-3 * (1 - k / 750), 1);
    }
    const state = await snapshot(optimizer.state());
    pretrained = Object.fromEntries(Object.keys(base.weights()).map((name) => [name, state[`ema.${name}`]!]));
  });

  const eam =
    (terminal: 'consistent' | 'plugin') =>
    (model: NativeFlowModel): NativeAlgorithm =>
      new (binding().Eam)(model, { ...eamOptions, terminal, lambda, steps: 8, renoisings: 2, delta: 0.1 });
  const am = (model: NativeFlowModel): NativeAlgorithm =>
    new (binding().AdjointMatching)(model, {
      lambda,
      steps: 20,
      drawnSteps: 10,
      finalFraction: 0.25,
      guidance: 1,
      microBatch: 0,
      decodeSlice: 0,
      rewardGradientQuantile: 1,
    });

  // The plugin reading takes the law at 0.9 for that at 1, and so has a known bias.
  it.each([
    { what: 'EAM (consistent)', create: eam('consistent'), t: 1 },
    { what: 'EAM (plugin)', create: eam('plugin'), t: 0.9 },
    { what: 'Adjoint Matching', create: am, t: 1 },
  ])('reaches the law of $what', async ({ create, t }) => {
    const lora = { rank: 4, alpha: 8, targets: ['fc1', 'fc2', 'modulation', 'final.linear'], seed: 2n };
    const model = freshModel({ config, seed: 3n, lora });
    await model.load(
      'weights',
      Object.fromEntries(
        Object.entries(model.weights()).map(([name, { shape }]) => [name, tensor(pretrained[name]!, shape)]),
      ),
    );
    const moments = async (weights: 'trained' | 'pretrained') => {
      const { latents } = await binding().sample(model, {
        conditioning: labels(0),
        guidance: 1,
        solver: 'heun',
        times: Array.from({ length: 17 }, (_, i) => i / 16),
        shape: [2048, 1, 1, 1],
        seed: 8n,
        firstSample: 0,
        weights,
        average: optimizer,
        cancellation,
      });
      const x = await floats(latents);
      const average = x.reduce((sum, value) => sum + value, 0) / x.length;
      return {
        mean: average,
        deviation: Math.sqrt(x.reduce((sum, value) => sum + (value - average) ** 2, 0) / x.length),
      };
    };

    const algorithm = create(model);
    const optimizer = adamW(model, { emaDecay: 0.95 });
    const grad = tensor(new Array(count).fill(c), [count, 1, 1, 1]);
    for (let k = 0; k < 120; k++) {
      const rollout = await algorithm.rollout({
        conditioning: labels(0),
        shape: [count, 1, 1, 1],
        seed: 7n,
        step: k,
        cancellation,
      });
      await algorithm.accumulate(rollout, new Float32Array(count), grad, cancellation);
      rollout.dispose();
      await optimizer.step(6e-3 * (1 - k / 125), 1);
    }
    const before = await moments('pretrained');
    const after = await moments('trained');
    expect(Math.abs(before.mean - mean)).toBeLessThan(0.02);
    expect(Math.abs(before.deviation - deviation)).toBeLessThan(0.02);
    const variance = (t * deviation) ** 2 + (1 - t) ** 2;
    expect(Math.abs(after.mean - (t * mean + (lambda * c * variance) / 2))).toBeLessThan(0.035);
    expect(Math.abs(after.deviation - Math.sqrt(variance))).toBeLessThan(0.035);
  });
});
