import { EamError } from '../errors.js';
import type { Tensor } from '../tensor.js';

export interface RewardScore {
  /** One value an image; higher is better. NaN or an infinity drops the image from the step. */
  values: Float32Array;
  /** ∂(Σ values)/∂images, the images' shape. */
  grad?: Tensor | undefined;
  /** Unweighted values of the rewards behind a combined one, by name, for logs. */
  parts?: Readonly<Record<string, Float32Array>> | undefined;
}

export interface ScoreOptions {
  /** Whether `grad` is wanted; default false. */
  gradient?: boolean | undefined;
}

/** What images are trained towards. `images` is [B, channels, H, W] in [0, 1], not clamped. */
export interface Reward {
  readonly name: string;
  score(images: Tensor, prompts: readonly string[], options?: ScoreOptions): Promise<RewardScore>;
}

/** A reader of images that takes no part in training: what `eam evaluate` measures prompts and diversity by. */
export interface Judge {
  readonly name: string;
  /** Whether each image shows what its prompt asks for, and features [B, F] in which images are compared. */
  judge(images: Tensor, prompts: readonly string[]): Promise<{ matches: boolean[]; features: Tensor }>;
}

/**
 * Scores images, checks the answer's lengths, and names the reward in whatever goes wrong.
 * @throws EamError with code ERR_EAM_REWARD and the reward's own error as its cause
 */
export async function score(
  reward: Reward,
  images: Tensor,
  prompts: readonly string[],
  options: ScoreOptions,
): Promise<RewardScore> {
  const fail = (problem: string, cause?: unknown): never => {
    throw new EamError('ERR_EAM_REWARD', `reward "${reward.name}" failed: ${problem}`, { cause });
  };
  let result: RewardScore;
  try {
    result = await reward.score(images, prompts, options);
  } catch (error) {
    if (error instanceof EamError && error.code === 'ERR_EAM_REWARD') throw error;
    return fail(error instanceof Error ? error.message : String(error), error);
  }
  if (!(result?.values instanceof Float32Array)) fail('it returned no `values`, a Float32Array with one number an image');
  if (result.values.length !== prompts.length) {
    fail(`it returned ${result.values.length} values for ${prompts.length} images`);
  }
  if (options.gradient && !result.grad) {
    fail('it returned no gradient; training needs ∂(Σ values)/∂images');
  }
  return result;
}
