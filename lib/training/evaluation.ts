import { z } from 'zod';

import type { Model } from '../models/model.js';
import type { NativeOptimizer } from '../runtime/native/binding.js';
import type { SolverName } from '../runtime/ode-solver.js';
import { score, type Judge, type Reward } from '../rewards/reward.js';
import { callback, objectWith } from '../schema/options.js';
import { validate } from '../schema/validate.js';
import { JudgedImages, slicedWasserstein } from './judged-images.js';
import { cyclePrompts, drawingShape, modelShape, sampleBatches } from './sampler.js';
import { spreadOf, type Spread } from './statistics.js';
import { pairedChange, type Change } from './student.js';

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
}

const argumentsSchema = z.object({
  model: modelShape,
  options: z.strictObject({
    ...drawingShape,
    reward: objectWith('a reward with name and score; combine makes one of several', 'name', 'score'),
    judge: objectWith('a judge with name and judge', 'name', 'judge').optional(),
    count: z.int().min(1),
    onProgress: callback.optional(),
  }),
});

/** This is what was measured on one model's samples. */
export interface Measurement {
  /** The mean of the reward over the images, and its standard deviation. */
  reward: Spread;
  /** What each reward of a combined one gave, unweighted. */
  rewards: Record<string, Spread>;
  /** The fraction of images in which the judge sees what the prompt asked for, in [0, 1]. */
  accuracy?: number;
  /** The mean distance over all pairs of images, measured in the judge's features. */
  diversity?: number;
}

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
  using seenBefore = options.judge && new JudgedImages(options.judge);
  using seenAfter = options.judge && new JudgedImages(options.judge);
  const { measurement: before, values: old } = await measureEach(model, options, 'pretrained', seenBefore);
  const { measurement: after, values: now } = await measureEach(model, options, 'trained', seenAfter);
  const partNames = Object.keys(old.parts).filter((name) => now.parts[name]);
  return {
    count: options.count,
    seed: String(options.seed),
    before,
    after,
    change: {
      reward: pairedChange(old.reward, now.reward),
      rewards: Object.fromEntries(partNames.map((name) => [name, pairedChange(old.parts[name]!, now.parts[name]!)])),
    },
    gain: gainOf(before.reward, after.reward),
    ...(before.diversity !== undefined &&
      after.diversity !== undefined && { diversityRatio: ratio(after.diversity, before.diversity) }),
    ...(seenBefore && seenAfter && { slicedWasserstein: await slicedWasserstein(seenBefore, seenAfter) }),
  };
}

/** Null where the quotient means nothing: JSON knows neither Infinity nor NaN. */
export function ratio(numerator: number, denominator: number): number | null {
  return denominator > 0 && Number.isFinite(numerator) ? numerator / denominator : null;
}

export function gainOf(before: Spread, after: Spread): number | null {
  return ratio(after.mean - before.mean, before.std);
}

/** One half of an evaluation: fresh samples of the model with or without its adapter. */
export async function measure(
  model: Model,
  options: EvaluationOptions,
  weights: 'trained' | 'pretrained',
): Promise<Measurement> {
  using seen = options.judge && new JudgedImages(options.judge);
  return (await measureEach(model, options, weights, seen)).measurement;
}

/** A measurement, and the rewards of each image that it is made of. */
interface Measured {
  measurement: Measurement;
  values: { reward: number[]; parts: Record<string, number[]> };
}

async function measureEach(
  model: Model,
  options: EvaluationOptions,
  weights: 'trained' | 'pretrained',
  seen: JudgedImages | undefined,
): Promise<Measured> {
  const { reward, count, steps, solver, guidance, seed, signal, negativePrompt } = options;
  const values: number[] = [];
  const parts: Record<string, number[]> = {};
  let done = weights === 'pretrained' ? 0 : count;
  const prompts = cyclePrompts(options.prompts, count);
  const average = weights === 'trained' ? options.average : undefined;
  for await (const batch of sampleBatches(model, {
    prompts,
    negativePrompt,
    seed,
    steps,
    solver,
    guidance,
    weights,
    average,
    batch: options.batch,
    signal,
  })) {
    using images = batch.images;
    const scored = await score(reward, images, batch.prompts, { signal });
    values.push(...scored.values);
    for (const [name, part] of Object.entries(scored.parts ?? {})) {
      parts[name] ??= [];
      parts[name].push(...part);
    }
    await seen?.add(images, batch.prompts, signal);
    done += batch.prompts.length;
    options.onProgress?.(done, 2 * count, batch.forwards);
  }
  const measurement = {
    reward: spreadOf(values),
    rewards: Object.fromEntries(Object.entries(parts).map(([name, part]) => [name, spreadOf(part)])),
    ...(seen && { accuracy: seen.accuracy, diversity: await seen.diversity() }),
  };
  return { measurement, values: { reward: values, parts } };
}
