import { types } from 'node:util';

import { EamError, isError } from '../errors.js';
import { unlessLeftBehind } from '../runtime/cancellation.js';
import { Tensor } from '../runtime/native/tensor.js';
import { expected } from '../schema/validate.js';

/** These are numbers in any form, one for each image; a Tensor is [B] or [B, 1]. */
export type RewardValues = Float32Array | Float64Array | readonly number[] | Tensor;

/** This is what a reward gives for a batch of images. */
export interface RewardScore {
  /** The values, one for each image; higher is better. NaN or an infinity drops the image from the step. */
  values: RewardValues;
  /** ∂(Σ values)/∂images, of the images' shape and on their device. It is disposed of after use. */
  grad?: Tensor | undefined;
  /** The unweighted values of the rewards behind a combined one, by name, for logs. */
  parts?: Readonly<Record<string, Float32Array>> | undefined;
  /** Each of `parts` is multiplied by its weight here. */
  weights?: Readonly<Record<string, number>> | undefined;
}

/** This is what a {@link Reward} is asked for. */
export interface ScoreOptions {
  /** Whether `grad` is wanted; default false. */
  gradient?: boolean | undefined;
  /**
   * Aborted when the run is to stop: a reward that asks a service, say, passes it on and rejects. One that does not
   * settle is left behind 5 seconds later, and what it returns then is disposed of.
   */
  signal?: AbortSignal | undefined;
}

/** A reward or a judge has so many milliseconds to come to an end after its signal was aborted. */
const rewardGrace = 5000;

/**
 * What images are trained towards. `images` is [B, channels, H, W] in [0, 1], not clamped, on the model's device, and
 * disposed of afterwards. `await images.data()` is a copy.
 */
export interface Reward {
  /** Logs and metrics keep its values under this name. */
  readonly name: string;
  /**
   * False says that `score` gives values alone, never a gradient: `algorithm.modes` or pretrained endpoints train it.
   */
  readonly differentiable?: false | undefined;
  /**
   * True says that an image's value depends on the other images of its batch, such as one that measures how much they
   * differ. It is given all images of a step at once, each of which is then decoded a second time for the gradient. Any
   * other reward with a gradient is given `decodeSlice` images at a time, so that memory holds one slice's graph.
   */
  readonly wholeBatch?: true | undefined;
  /** Gives one value for each image and, where asked, the gradient of their sum; `prompts` has one for each image. */
  score(images: Tensor, prompts: readonly string[], options?: ScoreOptions): Promise<RewardScore>;
}

/** Tells whether a reward, or a part of a combined one, can be asked for its gradient. */
export const hasGradient = (reward: Reward): boolean => reward.differentiable !== false;

/** A score whose values are in JavaScript's memory. */
export interface ArrayScore extends RewardScore {
  values: Float32Array;
}

/** What this package's own rewards are. */
export interface ArrayReward extends Reward {
  /** Gives one value for each image and, where asked, the gradient of their sum; `prompts` has one for each image. */
  score(images: Tensor, prompts: readonly string[], options?: ScoreOptions): Promise<ArrayScore>;
}

/** Reads images and takes no part in training: `eam evaluate` measures prompts and diversity by it. */
export interface Judge {
  /** Configurations name it so. */
  readonly name: string;
  /**
   * Tells whether each image shows what its prompt asks for, and gives features [B, F] in which images are compared.
   */
  judge(
    images: Tensor,
    prompts: readonly string[],
    options?: Pick<ScoreOptions, 'signal'>,
  ): Promise<{
    /** Whether the image shows what its prompt asks for, one for each image. */
    matches: boolean[];
    /** The features, [B, F]; the caller disposes of them. */
    features: Tensor;
  }>;
}

declare const isChecked: unique symbol;

/**
 * A score that fits the images which it was asked for: one value an image, and `grad`, where there is one, has the
 * images' shape, dtype and device. {@link score} and {@link checked} make them, and nothing checks or converts one
 * again.
 */
export type CheckedScore = ArrayScore & { readonly [isChecked]: true };

/** What each checked score was asked for, and what it was when it was checked: a reward may write to it. */
const checks = new WeakMap<object, { images: Tensor; values: Float32Array; grad: Tensor | undefined }>();

/** Vouches for a score of this package's own making; {@link CheckedScore} says for what. */
export function checked(made: ArrayScore, images: Tensor): CheckedScore {
  checks.set(made, { images, values: made.values, grad: made.grad });
  return made as CheckedScore;
}

function isCheckedFor(
  result: RewardScore,
  images: Tensor,
  wanted: { count: number; gradient: boolean },
): result is CheckedScore {
  const known = checks.get(result);
  return (
    known?.images === images &&
    known.values === result.values &&
    known.values.length === wanted.count &&
    known.grad === result.grad &&
    (known.grad !== undefined) === wanted.gradient &&
    !known.grad?.disposed
  );
}

/** What a reward returned is not a score; the message says why. */
export class InvalidScore extends EamError {
  constructor(message: string) {
    super('ERR_EAM_REWARD', message);
  }
}

/**
 * Scores images, checks the answer and brings it into one form: `grad`, there if and only if asked for, has the images'
 * shape, dtype and device.
 * @throws EamError with code ERR_EAM_REWARD, which names the reward and has the reward's own error as its cause; the
 *   signal's reason
 */
export async function score(
  reward: Reward,
  images: Tensor,
  prompts: readonly string[],
  options: ScoreOptions,
): Promise<CheckedScore> {
  const { gradient = false, signal } = options;
  signal?.throwIfAborted();
  // Shares the images' memory: a reward that disposes of its images, or writes to their data, disturbs no other.
  using shared = await images.to({});
  let result: RewardScore | undefined;
  try {
    const asked = Promise.resolve(reward.score(shared, prompts, options));
    result = await unlessLeftBehind(asked, signal, rewardGrace, (late: RewardScore | undefined) => {
      dispose(late?.values);
      dispose(late?.grad);
    });
    if (!isObject(result)) throw new InvalidScore(expected('what it returned', '{ values, grad }', describe(result)));
    const { parts, weights } = result;
    const { values, grad } = isCheckedFor(result, shared, { count: prompts.length, gradient })
      ? result
      : {
          values: await valuesOf(result.values, prompts.length),
          grad: gradient ? await gradientOf(result.grad, images) : undefined,
        };
    return checked({ values, ...(grad && { grad }), ...(parts && { parts }), ...(weights && { weights }) }, images);
  } catch (error) {
    dispose(result?.grad);
    if (signal?.aborted && error === signal.reason) throw error;
    const invalid = error instanceof InvalidScore;
    // A part of a combined reward has been named already.
    if (!invalid && error instanceof EamError && error.code === 'ERR_EAM_REWARD') throw error;
    const problem = isError(error) ? error.message : String(error);
    throw new EamError('ERR_EAM_REWARD', `reward "${reward.name}" failed: ${problem}`, invalid ? {} : { cause: error });
  } finally {
    dispose(result?.values);
    if (!gradient) dispose(result?.grad);
  }
}

/**
 * What a judge reads in images.
 * @throws what the judge does; the signal's reason
 */
export function read(
  judge: Judge,
  images: Tensor,
  prompts: readonly string[],
  signal: AbortSignal | undefined,
): ReturnType<Judge['judge']> {
  signal?.throwIfAborted();
  return unlessLeftBehind(judge.judge(images, prompts, { signal }), signal, rewardGrace, ({ features }) =>
    dispose(features),
  );
}

async function valuesOf(values: unknown, count: number): Promise<Float32Array> {
  if (!(values instanceof Tensor)) {
    return valuesFrom(values, count);
  }
  if (values.disposed) throw new InvalidScore('values is a Tensor that has been disposed of');
  const { shape } = values;
  if (shape[0] !== count || shape.length > 2 || (shape.length === 2 && shape[1] !== 1)) {
    throw new InvalidScore(
      expected('values', `shape [${count}] or [${count}, 1], one value an image`, `[${shape.join(', ')}]`),
    );
  }
  using converted = await values.to({ dtype: 'float32' });
  return (await converted.data()) as Float32Array;
}

/** One value an image, as float32. */
export function valuesFrom(values: unknown, count: number): Float32Array {
  const numbers = toFloat32(values, 'values');
  if (numbers.length !== count) throw new InvalidScore(`it returned ${numbers.length} values for ${count} images`);
  return numbers;
}

/** Numbers as float32; rejects what would become NaN in silence. */
export function toFloat32(numbers: unknown, name: string): Float32Array {
  // instanceof would refuse arrays of another realm, as native code's are under Jest and in node:vm.
  if (types.isFloat32Array(numbers)) return numbers as Float32Array;
  if (types.isFloat64Array(numbers) || types.isInt32Array(numbers)) return Float32Array.from(numbers);
  if (!Array.isArray(numbers)) {
    throw new InvalidScore(expected(name, 'numbers in a typed array or an array', describe(numbers)));
  }
  const wrong = numbers.findIndex((value) => typeof value !== 'number');
  if (wrong >= 0) throw new InvalidScore(expected(`${name}[${wrong}]`, 'a number', describe(numbers[wrong])));
  return Float32Array.from(numbers as number[]);
}

async function gradientOf(grad: unknown, images: Tensor): Promise<Tensor> {
  const wrong = (problem: string, otherwise = '') =>
    new InvalidScore(`${problem}; training needs ∂(Σ values)/∂images${otherwise}`);
  if (grad === undefined || grad === null)
    throw wrong('it returned no gradient', ', or `differentiable: false` of a reward that has none');
  if (!(grad instanceof Tensor)) {
    const hint =
      ArrayBuffer.isView(grad) || Array.isArray(grad) ? ' (Tensor.from(grad, images.shape), or fromFunction)' : '';
    throw wrong(expected('grad', `a Tensor${hint}`, describe(grad)));
  }
  if (grad.disposed)
    throw wrong('grad has been disposed of; return a new Tensor each time, it is disposed of after use');
  const { shape, dtype, device } = images;
  if (grad.shape.join() !== shape.join()) {
    throw wrong(expected('grad', `the images' shape, [${shape.join(', ')}]`, `[${grad.shape.join(', ')}]`));
  }
  if (grad.device !== device) throw wrong(expected('grad', `the images' device, ${device}`, grad.device));
  if (grad.dtype.startsWith('int')) throw wrong(expected('grad', 'a floating-point type', grad.dtype));
  const converted = await grad.to({ dtype });
  grad.dispose();
  return converted;
}

const isObject = (value: unknown): value is object => typeof value === 'object' && value !== null;

/** Disposes of a Tensor; anything else is left alone. */
export function dispose(value: unknown): void {
  if (value instanceof Tensor) value.dispose();
}

/** What was found, for a message. */
export function describe(value: unknown): string {
  if (value === null || value === undefined) return String(value);
  if (typeof value === 'string') return JSON.stringify(value);
  if (!isObject(value)) return `a ${typeof value}`;
  const name = (value.constructor as { name?: string } | undefined)?.name;
  return name && name !== 'Object' ? `a ${name}` : 'an object';
}
