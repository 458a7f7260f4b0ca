import { isError } from '../errors.js';
import { refuseWideAdapter } from '../models/adapters/adapter.js';
import type { Model } from '../models/model.js';
import { hasGradient, read, score, type Judge, type Reward } from '../rewards/reward.js';
import { binding } from '../runtime/native/index.js';
import type { Tensor } from '../runtime/native/tensor.js';
import type { Algorithm } from '../training/algorithm.js';
import { refuseValueOnly } from '../training/value-only.js';
import { refuseGuidance } from './guidance.js';

/** What a run will do after each step, or at its end. */
export interface Rehearsed {
  model: Model;
  algorithms: readonly Algorithm[];
  prompts: readonly string[];
  reward: Reward;
  judge: Judge | undefined;
  /** Rewards that score images beside the training, without a gradient. */
  watched?: readonly Reward[];
  /** How strongly the run guides what it draws beside the algorithms. */
  guidances: readonly number[];
  signal: AbortSignal | undefined;
}

/**
 * Does once, with one image and before anything is written, what a run would otherwise fail at after hours, or at its
 * first step: the reward gives a value and, where it has one, a gradient for an image of the model's, the judge reads
 * one, rewards that are watched give a value, the adapter fits its layers, the model can be guided where it is to be,
 * and the algorithms take such a reward and such a model.
 * @throws ConfigError for an adapter, an algorithm or guidance, EamError with code ERR_EAM_REWARD for a reward, what
 *   the judge throws
 */
export async function rehearse({
  model,
  algorithms,
  prompts,
  reward,
  judge,
  watched = [],
  guidances,
  signal,
}: Rehearsed): Promise<void> {
  refuseWideAdapter(model);
  refuseGuidance(model.unguided, [...guidances, ...algorithms.map(({ guidance }) => guidance)]);
  for (const algorithm of algorithms) {
    refuseValueOnly(reward, algorithm);
    algorithm.create(model);
  }
  using images = await anImage(model);
  const { grad } = await score(reward, images, prompts.slice(0, 1), { gradient: hasGradient(reward), signal });
  grad?.dispose();
  for (const each of watched) await score(each, images, prompts.slice(0, 1), { signal });
  if (judge) await rehearseJudge({ model, prompts, judge, signal });
}

/** Has a judge read one image of the model's. @throws what the judge does */
export async function rehearseJudge({
  model,
  prompts,
  judge,
  signal,
}: Omit<Rehearsed, 'reward' | 'algorithms' | 'guidances'> & { judge: Judge }): Promise<void> {
  using images = await anImage(model);
  try {
    (await read(judge, images, prompts.slice(0, 1), signal)).features.dispose();
  } catch (error) {
    if (isError(error) && error !== signal?.reason)
      error.message = `the judge "${judge.name}" cannot read this model's images: ${error.message}`;
    throw error;
  }
}

async function anImage(model: Model): Promise<Tensor> {
  const shape = [1, ...model.latentShape];
  const zeros = new Float32Array(shape.reduce((product, length) => product * length, 1));
  using latents = binding().Tensor.from(zeros, shape, { device: model.device });
  return await model.native.images(latents);
}
