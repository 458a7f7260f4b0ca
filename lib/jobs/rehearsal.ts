import { isError } from '../errors.js';
import { refuseWideAdapter } from '../models/adapters/adapter.js';
import type { Model } from '../models/model.js';
import { hasGradient, read, score, type Judge, type Reward } from '../rewards/reward.js';
import { binding } from '../runtime/native/index.js';
import type { Algorithm } from '../training/algorithms.js';
import { refuseValueOnly } from '../training/value-only.js';

/** What a run will do after each step, or at its end. */
export interface Rehearsed {
  model: Model;
  algorithms: readonly Algorithm[];
  prompts: readonly string[];
  reward: Reward;
  judge: Judge | undefined;
  signal: AbortSignal | undefined;
}

/**
 * Does once, with one image and before anything is written, what a run would otherwise fail at after hours, or at its
 * first step: the reward gives a value and, where it has one, a gradient for an image of the model's, the judge reads
 * one, the adapter fits its layers, and the algorithms take such a reward and such a model.
 * @throws ConfigError for an adapter or an algorithm, EamError with code ERR_EAM_REWARD for a reward, what the
 *   judge throws
 */
export async function rehearse({ model, algorithms, prompts, reward, judge, signal }: Rehearsed): Promise<void> {
  refuseWideAdapter(model);
  for (const algorithm of algorithms) {
    refuseValueOnly(reward, algorithm);
    algorithm.create(model);
  }
  const prompt = prompts.slice(0, 1);
  const shape = [1, ...model.latentShape];
  const zeros = new Float32Array(shape.reduce((product, length) => product * length, 1));
  using latents = binding().Tensor.from(zeros, shape, { device: model.device });
  using images = await model.native.images(latents);
  const { grad } = await score(reward, images, prompt, { gradient: hasGradient(reward), signal });
  grad?.dispose();
  if (!judge) return;
  try {
    (await read(judge, images, prompt, signal)).features.dispose();
  } catch (error) {
    if (isError(error) && error !== signal?.reason)
      error.message = `the judge "${judge.name}" cannot read this model's images: ${error.message}`;
    throw error;
  }
}
