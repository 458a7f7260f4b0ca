// The example's network against the native one, which it spells out: the same weights give the same numbers.
import { afterAll, beforeAll, describe, expect, it } from 'vitest';

import { defineDigits } from '../../examples/own-network.ts';
import { disposeAll } from '../../lib/files/safetensors.js';
import type { Model } from '../../lib/models/model.js';
import { loadModel } from '../../lib/models/registry.js';
import { strokeWeight } from '../../lib/rewards/stroke-weight.js';
import { philoxNormal } from '../../lib/runtime/kernels.js';
import { binding } from '../../lib/runtime/native/index.js';
import { eam } from '../../lib/training/algorithms.js';
import { sampleImages } from '../../lib/training/sampler.js';
import { Trainer } from '../../lib/training/trainer.js';
import { expectClose, numbersOf } from '../helpers/numbers.js';

const rank = 4;
const alpha = 8;
const prompts = ['3', '1', '4', '1', '5'];

let native: Model;
let own: Model;

/** An adapter that is not zero anywhere, the same in both networks. */
async function perturb(): Promise<void> {
  const tensors = native.native.trainable();
  const entries = await Promise.all(
    Object.entries(tensors).map(async ([name, { shape }], index) => {
      const normals = await philoxNormal(shape, { seed: 5n, stream: BigInt(index) });
      const data = Float32Array.from((await normals.data()) as Float32Array, (value) => 0.05 * value);
      return [name, binding().Tensor.from(data, shape)] as const;
    }),
  );
  const values = Object.fromEntries(entries);
  for (const model of [native, own]) await model.native.load('trainable', values);
  disposeAll([...Object.values(values), ...Object.values(tensors)]);
}

beforeAll(async () => {
  native = await loadModel('digits', { adapter: { rank, alpha }, seed: 3n });
  own = defineDigits(native.native.weights(), rank, alpha, 3n);
});
afterAll(() => {
  native.dispose();
  own.dispose();
});

const x = () => philoxNormal([prompts.length, 1, 28, 28], { seed: 1n, stream: 2n });
const t = Float32Array.from([0, 0.2, 0.5, 0.8, 1]);

describe('the digits of the example', () => {
  it('begin with the adapter that the native ones begin with', async () => {
    expect(own.native.trainableNames.sort()).toEqual(native.native.trainableNames.sort());
    const theirs = native.native.trainable();
    for (const [name, tensor] of Object.entries(own.native.trainable())) {
      expectClose(await numbersOf(tensor), await numbersOf(theirs[name]!), 1e-7, name);
    }
  });

  it.each([false, true])('have the velocity of the native ones, pretrained: %s', async (pretrained) => {
    await perturb();
    const conditioning = await native.encode(prompts);
    const velocities = await Promise.all(
      [own, native].map(async (model) =>
        numbersOf(await model.native.velocity(await x(), t, conditioning, pretrained)),
      ),
    );
    expectClose(velocities[0]!, velocities[1]!, 2e-6);
  });

  it('have the gradients of the native ones', async () => {
    await perturb();
    const names = native.native.trainableNames;
    const upstream = await philoxNormal([prompts.length, 1, 28, 28], { seed: 1n, stream: 9n });
    const [mine, theirs] = await Promise.all(
      [own, native].map(async (model) =>
        model.native.gradients(await x(), t, await model.encode(prompts), upstream, names),
      ),
    );
    expectClose(await numbersOf(mine!.x), await numbersOf(theirs!.x), 1e-5, 'x');
    for (const name of names) {
      expectClose(await numbersOf(mine!.tensors[name]!), await numbersOf(theirs!.tensors[name]!), 1e-5, name);
    }
  });

  it('draw the images of the native ones', async () => {
    await perturb();
    const options = { prompts, seed: 4n, steps: 4, guidance: 2 };
    const [mine, theirs] = await Promise.all([own, native].map(async (model) => sampleImages(model, options)));
    expectClose(await numbersOf(mine!), await numbersOf(theirs!), 1e-5);
  });

  it('train in the steps of the native ones', async () => {
    const trained = async (model: Model) => {
      await perturb();
      const trainer = new Trainer({
        model,
        reward: strokeWeight(),
        prompts,
        algorithm: eam({ lambda: 12, delta: 0.3, steps: 3, renoisings: 2, rewardThroughDenoiser: true }),
        // Without this ε a number whose gradient is rounding alone would move by its sign.
        optimizer: { learningRate: 1e-3, emaDecay: 0.9, epsilon: 1e-3 },
        batch: 5,
        seed: 2,
      });
      const metrics: number[][] = [];
      for await (const step of trainer.run({ steps: 4 })) metrics.push([step.reward, step.loss, step.gradNorm]);
      // Copied: the tensors share the network's memory.
      const weights = Object.entries(model.native.trainable());
      return { metrics, weights: await Promise.all(weights.map(async ([, tensor]) => numbersOf(tensor))) };
    };
    const [mine, theirs] = [await trained(own), await trained(native)];
    for (const [step, numbers] of mine.metrics.entries())
      expectClose(numbers, theirs.metrics[step]!, 1e-4, `step ${step}`);
    for (const [index, numbers] of mine.weights.entries()) expectClose(numbers, theirs.weights[index]!, 1e-4);
  });
});
