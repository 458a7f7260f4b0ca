import { z } from 'zod';

import type { Model } from '../models/model.js';
import type { NativeOptimizer } from '../runtime/native/binding.js';
import type { SolverName } from '../runtime/ode-solver.js';
import type { Tensor } from '../runtime/native/tensor.js';
import type { Judge, Reward } from '../rewards/reward.js';
import { callback, objectWith } from '../schema/options.js';
import { validate } from '../schema/validate.js';
import { slicedWasserstein } from './judged-images.js';
import { MeasuredModel, type Measurement, type SampleRewards } from './measured-model.js';
import { pairedBatches } from './paired-batches.js';
import { cyclePrompts, drawingShape, modelShape, sampleBatches } from './sampler.js';
import type { Spread } from './statistics.js';
import { changeOver, pairedDifferences, type Change } from './student.js';

/** These are the options of {@link evaluate}. */
export interface EvaluationOptions {
  /** What images are scored by. */
  reward: Reward;
  /** Reads the images for `accuracy` and `diversity`; without it neither is measured. */
  judge?: Judge | undefined;
  /** The prompts, which are repeated in turn until there are `count`. */
  prompts: readonly string[];
  /** What guidance leads away from, where the model knows such prompts. */
  negativePrompt?: string | undefined;
  /** How many images each model draws; at least 1. */
  count: number;
  /** Image i starts from noise of this seed and i alone, so both models start from the same. */
  seed: bigint;
  /** The solver takes this many steps; default, as for all that follows: the model's choice. */
  steps?: number | undefined;
  /** The solver of the ODE dX = v(X, t) dt, which goes from noise at t = 0 to data at t = 1. */
  solver?: SolverName | undefined;
  /** w is the classifier-free guidance, v = v_uncond + w (v_cond − v_uncond); 1 stands for none. */
  guidance?: number | undefined;
  /** A network evaluation takes at most this many samples. */
  batch?: number | undefined;
  /** The fine-tuned half is drawn with this optimizer's averaged weights. */
  average?: NativeOptimizer | undefined;
  /** Once it is aborted, the evaluation stops between network evaluations. */
  signal?: AbortSignal | undefined;
  /** It is called after each batch of either half. */
  onProgress?: ((done: number, total: number, forwards: number) => void) | undefined;
  /**
   * It is given each batch of pairs with their rewards, in the samples' order, and may read the images until the
   * promise that it returns is settled.
   */
  onPairs?: ((pairs: EvaluatedPairs) => void | Promise<void>) | undefined;
}

/** Images of the pretrained and of the fine-tuned model from the same noise, and what each was worth. */
export interface EvaluatedPairs {
  /** The number of the first sample of the batch, counted from 0. */
  first: number;
  /** The prompts: one for each pair. */
  prompts: readonly string[];
  /** The pretrained model's images, [B, channels, H, W] in [0, 1], not clamped. */
  before: Tensor;
  /** The fine-tuned model's images, likewise. */
  after: Tensor;
  /** The rewards of `before`. */
  rewardsBefore: SampleRewards;
  /** The rewards of `after`. */
  rewardsAfter: SampleRewards;
}

const argumentsSchema = z.object({
  model: modelShape,
  options: z.strictObject({
    ...drawingShape,
    reward: objectWith('a reward with name and score; combine makes one of several', 'name', 'score'),
    judge: objectWith('a judge with name and judge', 'name', 'judge').optional(),
    count: z.int().min(1),
    onProgress: callback.optional(),
    onPairs: callback.optional(),
  }),
});

/** This is what {@link evaluate} returns. */
export interface Evaluation {
  /** How many images each model drew. */
  count: number;
  /** The seed that the noise was drawn from, in decimal digits. */
  seed: string;
  /** What was measured on the pretrained model. */
  before: Measurement;
  /** What was measured on the fine-tuned model. */
  after: Measurement;
  /** How the rewards changed, image by image, from the same noise. Left out where that is not known. */
  change?: {
    /** The change of the whole reward. */
    reward: Change;
    /** The change of each reward of a combined one, unweighted. */
    rewards: Record<string, Change>;
  };
  /**
   * How much the mean reward rose, in standard deviations of the pretrained model's; null where its rewards do not
   * vary.
   */
  gain: number | null;
  /** The diversity after training, as a fraction of that before; null where there was none. */
  diversityRatio?: number | null;
  /**
   * Sliced Wasserstein-2 distance between the two models' images in the judge's features, over 128 directions; left out
   * without a judge. Two sets of one model differ, too: by how much depends on the number of images.
   */
  slicedWasserstein?: number;
}

/** Compares the pretrained model with the fine-tuned one, on the same prompts and the same noise. */
export async function evaluate(model: Model, options: EvaluationOptions): Promise<Evaluation> {
  validate(argumentsSchema, { model, options }, 'evaluate');
  const { reward, judge, count, seed, signal, onPairs, onProgress } = options;
  using old = new MeasuredModel(reward, judge);
  using now = new MeasuredModel(reward, judge);
  let done = 0;
  for await (const pairs of pairedBatches(model, drawingOf(options))) {
    const { first, prompts, forwards } = pairs;
    using before = pairs.before;
    using after = pairs.after;
    const rewardsBefore = await old.add(before, prompts, signal);
    done += prompts.length;
    onProgress?.(done, 2 * count, forwards.before);
    const rewardsAfter = await now.add(after, prompts, signal);
    done += prompts.length;
    onProgress?.(done, 2 * count, forwards.after);
    await onPairs?.({ first, prompts, before, after, rewardsBefore, rewardsAfter });
  }
  const [before, after] = [await old.measurement(), await now.measurement()];
  const partNames = Object.keys(old.samples.rewards).filter((name) => now.samples.rewards[name]);
  const cycled = cyclePrompts(options.prompts, count);
  const changeOf = (from: readonly number[], to: readonly number[]) => changeOver(pairedDifferences(from, to, cycled));
  return {
    count,
    seed: String(seed),
    before,
    after,
    change: {
      reward: changeOf(old.samples.reward, now.samples.reward),
      rewards: Object.fromEntries(
        partNames.map((name) => [name, changeOf(old.samples.rewards[name]!, now.samples.rewards[name]!)]),
      ),
    },
    gain: gainOf(before.reward, after.reward),
    ...(before.diversity !== undefined &&
      after.diversity !== undefined && { diversityRatio: ratio(after.diversity, before.diversity) }),
    ...(old.seen && now.seen && { slicedWasserstein: await slicedWasserstein(old.seen, now.seen) }),
  };
}

/** Null where the quotient means nothing: JSON knows neither Infinity nor NaN. */
export function ratio(numerator: number, denominator: number): number | null {
  return denominator > 0 && Number.isFinite(numerator) ? numerator / denominator : null;
}

export function gainOf(before: Spread, after: Spread): number | null {
  return ratio(after.mean - before.mean, before.std);
}

/** The images of one model, which {@link measure} hands on. */
export interface MeasuredBatch {
  /** The number of the first sample, counted from 0. */
  first: number;
  prompts: readonly string[];
  images: Tensor;
}

/**
 * One half of an evaluation: fresh samples of the model with or without its adapter.
 * @param onImages told of each batch once it is scored; it may read the images until it returns
 */
export async function measure(
  model: Model,
  options: Omit<EvaluationOptions, 'onPairs'>,
  weights: 'trained' | 'pretrained',
  onImages?: (batch: MeasuredBatch) => Promise<void>,
): Promise<{ measurement: Measurement; samples: SampleRewards }> {
  const { reward, judge, count, signal, onProgress } = options;
  using measured = new MeasuredModel(reward, judge);
  const { average, ...drawing } = drawingOf(options);
  let first = 0;
  for await (const batch of sampleBatches(model, {
    ...drawing,
    weights,
    average: weights === 'trained' ? average : undefined,
  })) {
    using images = batch.images;
    const { prompts } = batch;
    await measured.add(images, prompts, signal);
    await onImages?.({ first, prompts, images });
    first += prompts.length;
    onProgress?.(first, count, batch.forwards);
  }
  return { measurement: await measured.measurement(), samples: measured.samples };
}

/** The part of an evaluation's options that the sampler reads. */
function drawingOf({ prompts, count, seed, steps, solver, guidance, negativePrompt, average, batch, signal }: Options) {
  const cycled = cyclePrompts(prompts, count);
  return { prompts: cycled, seed, steps, solver, guidance, negativePrompt, average, batch, signal };
}
type Options = Omit<EvaluationOptions, 'onPairs'>;
