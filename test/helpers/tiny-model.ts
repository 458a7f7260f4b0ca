// A digits model small enough for tests, with weights that make every layer matter: a fresh one starts as zero.
import { binding } from '../../lib/runtime/native/index.js';
import type {
  DigitsModelConfig,
  DType,
  LoraConfig,
  NativeFlowModel,
  NativeOptimizer,
  NativeTensor,
} from '../../lib/runtime/native/binding.js';
import type { AdamWOptions, EamOptions } from '../../lib/runtime/native/options.generated.js';

export const tinyConfig: DigitsModelConfig = {
  imageSize: 8,
  channels: 1,
  patchSize: 4,
  width: 16,
  depth: 2,
  heads: 2,
  mlpRatio: 2,
  classes: 3,
};

export const tinyLora: LoraConfig = { rank: 2, alpha: 4, targets: ['attn.qkv', 'mlp.fc2'], seed: 9n };

export const normal = (shape: number[], stream: bigint): Promise<NativeTensor> =>
  binding().philoxNormal(shape, { seed: 99n, stream });

/** One stream of normals a name, so that the same names get the same values. */
export async function randomise(model: NativeFlowModel, kind: 'weights' | 'trainable', scale: number): Promise<void> {
  const tensors = kind === 'weights' ? model.weights() : model.trainable();
  const values: Record<string, NativeTensor> = {};
  let stream = kind === 'weights' ? 1000n : 2000n;
  for (const [name, tensor] of Object.entries(tensors)) {
    values[name] = await binding().weightedSum([await normal(tensor.shape, stream++)], [scale]);
  }
  await model.load(kind, values);
}

/** A network with fresh weights. */
export const freshModel = (
  parts: { config?: DigitsModelConfig; seed?: bigint; lora?: LoraConfig | undefined; dtype?: DType } = {},
): NativeFlowModel =>
  binding().newNetwork('digits', { config: tinyConfig, seed: 1n, dtype: 'float32', device: 'cpu', ...parts });

export async function tinyModel(lora?: LoraConfig, config = tinyConfig): Promise<NativeFlowModel> {
  const model = freshModel({ config, lora });
  await randomise(model, 'weights', 0.3);
  return model;
}

/** The tiny model with an adapter of random numbers. */
export async function adaptedModel(): Promise<NativeFlowModel> {
  const model = await tinyModel(tinyLora);
  await randomise(model, 'trainable', 0.2);
  return model;
}

/** Labels for a model without a prompt: `classes` stands for none. */
export const labels = (...values: number[]): NativeTensor[] => [
  binding().Tensor.from(BigInt64Array.from(values, BigInt), [values.length]),
];

export const floats = async (tensor: NativeTensor): Promise<number[]> =>
  Array.from((await tensor.data()) as Float32Array);

/** Every tensor of a set as numbers. */
export async function snapshot(tensors: Record<string, NativeTensor>): Promise<Record<string, number[]>> {
  const entries = await Promise.all(
    Object.entries(tensors).map(async ([name, tensor]) => [name, await floats(tensor)]),
  );
  return Object.fromEntries(entries);
}

export const adamW = (model: NativeFlowModel, options: AdamWOptions = {}): NativeOptimizer =>
  new (binding().AdamW)(model, options);

/** The gradients accumulated so far, read back through the first moments of a step of size zero; they are cleared. */
export async function takeGradients(model: NativeFlowModel): Promise<Record<string, number[]>> {
  const optimizer = adamW(model);
  await optimizer.step(0, Infinity);
  const gradients: Record<string, number[]> = {};
  for (const [name, values] of Object.entries(await snapshot(optimizer.state()))) {
    if (name.startsWith('m.')) gradients[name.slice(2)] = values.map((value) => value / (1 - 0.9));
  }
  return gradients;
}

export const eamOptions = { lambda: 2, steps: 3, renoisings: 3 } satisfies EamOptions;

/** Largest difference between two arrays, over the largest magnitude in the second. */
export function relativeError(actual: ArrayLike<number>, expected: ArrayLike<number>): number {
  let difference = 0;
  let magnitude = 0;
  for (let i = 0; i < expected.length; i++) {
    difference = Math.max(difference, Math.abs(actual[i]! - expected[i]!));
    magnitude = Math.max(magnitude, Math.abs(expected[i]!));
  }
  return difference / magnitude;
}

export function largestRelativeError(actual: Record<string, number[]>, expected: Record<string, number[]>): number {
  return Math.max(...Object.entries(expected).map(([name, values]) => relativeError(actual[name]!, values)));
}
