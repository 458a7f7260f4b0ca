// A small model written in TypeScript, two convolutions with a bias that a label and a vector choose, and its training.
import type { ModelDefinition } from '../../lib/models/defined/definition.js';
import type { Model } from '../../lib/models/model.js';
import { strokeWeight } from '../../lib/rewards/stroke-weight.js';
import { Tensor } from '../../lib/runtime/native/tensor.js';
import { eam } from '../../lib/training/algorithms.js';
import { Trainer } from '../../lib/training/trainer.js';
import { numbersOf } from './numbers.js';
import { add, conv2d, embedding, linear, mul, reshape, silu } from '../../lib/runtime/operators/index.js';

/** The same numbers for the same shape and number, in [−scale, scale]. */
export function numbers(shape: readonly number[], number: number, scale = 0.3): Tensor {
  const length = shape.reduce((product, size) => product * size, 1);
  const data = Float32Array.from({ length }, (_, i) => scale * Math.sin(1 + 7 * number + 1.7 * i));
  return Tensor.from(data, shape);
}

export const latentShape = [1, 4, 4] as const;

/** Everything that a definition must have, and two tensors of conditioning. */
export const definition = (changes: Partial<ModelDefinition> = {}): ModelDefinition => ({
  name: 'small',
  latentShape,
  weights: { 'conv.weight': numbers([3, 1, 3, 3], 1), table: numbers([10, 3], 2) },
  trainable: {
    'out.weight': numbers([1, 3, 3, 3], 3),
    'out.bias': numbers([1], 4),
    'style.weight': numbers([3, 2], 5),
  },
  velocity(x, t, [labels, style], { parameters: p }) {
    const batch = x.shape[0]!;
    const chosen = add(embedding(p['table']!, labels!), linear(style!, p['style.weight']!));
    const moved = mul(chosen, reshape(t, [batch, 1]));
    const hidden = add(conv2d(x, p['conv.weight']!, undefined, { padding: 1 }), reshape(moved, [batch, 3, 1, 1]));
    return conv2d(silu(hidden), p['out.weight']!, p['out.bias'], { padding: 1 });
  },
  encode: (prompts) => [
    Tensor.from(
      BigInt64Array.from(prompts, (prompt) => BigInt(prompt)),
      [prompts.length],
    ),
    Tensor.from(Float32Array.from(prompts.flatMap((prompt) => [Number(prompt) / 10, 1])), [prompts.length, 2]),
  ],
  unconditional: (count) => [
    Tensor.from(new BigInt64Array(count), [count]),
    Tensor.from(new Float32Array(2 * count), [count, 2]),
  ],
  ...changes,
});

/** Trains all that a model trains, by a step of four samples at a time. */
export const trainerOf = (model: Model, directory?: string) =>
  new Trainer({
    model,
    reward: strokeWeight(),
    prompts: ['1', '2', '3', '4'],
    algorithm: eam({ steps: 2, renoisings: 2, rewardThroughDenoiser: true }),
    optimizer: { learningRate: 0.01, emaDecay: 0.9 },
    batch: 4,
    ...(directory !== undefined && { checkpoints: { directory, every: 2 } }),
  });

/** Goes on to that many steps. */
export async function run(trainer: Trainer, steps: number): Promise<void> {
  for await (const _ of trainer.run({ steps }));
}

/** Every number that a model trains. */
export const trainableOf = async (model: Model): Promise<number[]> =>
  (await Promise.all(Object.values(model.native.trainable()).map(numbersOf))).flat();
