import { gradientOf, hasShare, sumOf } from '../rewards/combine.js';
import { summedBy, type Parts } from '../rewards/identity.js';
import { score, type ArrayScore, type Reward } from '../rewards/reward.js';
import { cancellable } from '../runtime/cancellation.js';
import type { NativeRollout } from '../runtime/native/binding.js';
import { binding } from '../runtime/native/index.js';
import type { Tensor } from '../runtime/native/tensor.js';

interface ScoringOptions {
  /** It says whether the gradient is wanted. */
  gradient: boolean;
  signal: AbortSignal | undefined;
}

/**
 * Decodes samples and scores their images. With a gradient, a slice of them is decoded, scored, its gradient taken back
 * to the latents, and forgotten before the next one is decoded. A reward that reads the whole batch is given all images
 * after that, and so is a part of a sum that has values alone, such as a service, which batches as it likes.
 * @returns `grad`, ∂r/∂images of all images, only where a reward that reads the whole batch has one; the caller
 * disposes of it
 * @throws what the rewards throw, and the signal's reason
 */
export async function scoreSamples(
  reward: Reward,
  samples: NativeRollout,
  prompts: readonly string[],
  options: ScoringOptions,
): Promise<ArrayScore> {
  const isWhole = !options.gradient || samples.slice >= prompts.length;
  return isWhole ? scoreAtOnce(reward, samples, prompts, options) : scoreInSlices(reward, samples, prompts, options);
}

const decode = (
  samples: NativeRollout,
  [begin, end]: readonly [number, number],
  keepGraph: boolean,
  signal: AbortSignal | undefined,
): Promise<Tensor> => cancellable(signal, (cancellation) => samples.decode({ begin, end, keepGraph, cancellation }));

async function scoreAtOnce(
  reward: Reward,
  samples: NativeRollout,
  prompts: readonly string[],
  { gradient, signal }: ScoringOptions,
): Promise<ArrayScore> {
  using images = await decode(samples, [0, prompts.length], gradient, signal);
  const { grad, ...scored } = await score(reward, images, prompts, { gradient, signal });
  using carried = grad;
  if (carried) await samples.carry(carried);
  return scored;
}

/** Tells whether a part of a sum is scored slice by slice: it has a gradient, and reads each image by itself. */
const isSliced = (part: Parts[number]): boolean => hasShare(part) && !part[0].wholeBatch;

async function scoreInSlices(
  reward: Reward,
  samples: NativeRollout,
  prompts: readonly string[],
  { signal }: ScoringOptions,
): Promise<ArrayScore> {
  const summed = summedBy(reward);
  const parts = summed ?? [[reward, 1] as const];
  const sliced = parts.filter(isSliced);
  const whole = parts.filter((part) => !isSliced(part));
  const scores = new Map<Parts[number], ArrayScore[]>(parts.map((part) => [part, []]));
  const held: Tensor[] = [];
  const scoreParts = async (of: Parts, images: Tensor, asked: readonly string[]): Promise<Tensor | undefined> => {
    const made: ArrayScore[] = [];
    try {
      for (const part of of) {
        const one = await score(part[0], images, asked, { gradient: hasShare(part), signal });
        made.push(one);
        const { grad: _, ...values } = one;
        scores.get(part)!.push(values);
      }
      return made.some(({ grad }) => grad) ? await gradientOf(of, made) : undefined;
    } finally {
      for (const { grad } of made) grad?.dispose();
    }
  };
  try {
    for (let begin = 0; sliced.length && begin < prompts.length; begin += samples.slice) {
      const end = Math.min(begin + samples.slice, prompts.length);
      const images = await decode(samples, [begin, end], true, signal);
      held.push(images);
      using grad = await scoreParts(sliced, images, prompts.slice(begin, end));
      await samples.carry(grad!);
      if (whole.length === 0) held.pop()!.dispose();
    }
    let grad: Tensor | undefined;
    if (whole.length) {
      using images = held.length
        ? await binding().joinImages(held)
        : await decode(samples, [0, prompts.length], false, signal);
      grad = await scoreParts(whole, images, prompts);
    }
    const joined = parts.map((part) => joinScores(scores.get(part)!));
    return { ...(summed ? sumOf(parts, joined) : joined[0]!), ...(grad && { grad }) };
  } finally {
    for (const images of held) images.dispose();
  }
}

/** The scores of slices as those of one batch. */
function joinScores(scores: readonly ArrayScore[]): ArrayScore {
  const [first] = scores as readonly [ArrayScore, ...ArrayScore[]];
  const join = (of: (score: ArrayScore) => Float32Array) => {
    const all = new Float32Array(scores.reduce((sum, { values }) => sum + values.length, 0));
    let begin = 0;
    for (const one of scores) {
      all.set(of(one), begin);
      begin += one.values.length;
    }
    return all;
  };
  const missing = ({ values }: ArrayScore) => new Float32Array(values.length).fill(Number.NaN);
  const parts = Object.keys(first.parts ?? {}).map(
    (name) => [name, join((one) => one.parts?.[name] ?? missing(one))] as const,
  );
  return {
    values: join(({ values }) => values),
    ...(first.parts && { parts: Object.fromEntries(parts) }),
    ...(first.weights && { weights: first.weights }),
  };
}
