import { ConfigError } from '../errors.js';
import { binding } from '../runtime/native/index.js';
import type { Tensor } from '../runtime/native/tensor.js';
import {
  checked,
  describe,
  hasGradient,
  score,
  type ArrayReward,
  type ArrayScore,
  type CheckedScore,
  type Reward,
} from './reward.js';
import { setParts, type Parts } from './identity.js';
import { expected } from '../schema/validate.js';

/**
 * Sums rewards, each multiplied by its weight; one of weight 0 is watched, and takes no part in sum or gradient,
 * whatever its values are. The score carries the unweighted values of each as `parts`, and `weights`.
 * @throws ConfigError if there are none or a weight is not finite
 */
export function combine(parts: readonly (readonly [reward: Reward, weight: number])[]): ArrayReward {
  if (!Array.isArray(parts)) throw new ConfigError(expected('combine', 'a list of [reward, weight]', describe(parts)));
  if (parts.length === 0) throw new ConfigError(expected('combine', 'at least one [reward, weight]', 'none'));
  for (const [index, part] of parts.entries()) {
    const [reward, weight] = Array.isArray(part) ? (part as unknown as [Reward, number]) : [];
    if (typeof reward?.score !== 'function')
      throw new ConfigError(expected(`combine[${index}]`, '[reward, weight]', describe(part)));
    if (!Number.isFinite(weight))
      throw new ConfigError(
        expected(
          `combine: the weight of "${reward.name}"`,
          'a finite number',
          typeof weight === 'number' ? weight : describe(weight),
        ),
      );
  }
  const names = namesOf(parts);
  const combined: ArrayReward = {
    name: names.join(' + '),
    ...(!parts.some(hasShare) && { differentiable: false }),
    ...(parts.some(([reward]) => reward.wholeBatch) && { wholeBatch: true }),
    async score(images, prompts, options = {}): Promise<CheckedScore> {
      const scores: CheckedScore[] = [];
      try {
        for (const part of parts) {
          const gradient = options.gradient && hasShare(part);
          scores.push(await score(part[0], images, prompts, { ...options, gradient }));
        }
        const result: ArrayScore = sumOf(parts, scores);
        if (options.gradient) result.grad = await gradientOf(parts, scores);
        return checked(result, images);
      } finally {
        for (const part of scores) part.grad?.dispose();
      }
    },
  };
  setParts(combined, parts);
  return combined;
}

/** Tells whether a part of a sum takes part in its gradient. */
export const hasShare = ([reward, weight]: Parts[number]): boolean => weight !== 0 && hasGradient(reward);

/** The sum of its parts' scores, in their order, without its gradient. */
export function sumOf(parts: Parts, scores: readonly ArrayScore[]): ArrayScore {
  const names = namesOf(parts);
  return {
    values: Float32Array.from(scores[0]!.values, (_, image) =>
      parts.reduce((sum, [, weight], part) => (weight === 0 ? sum : sum + weight * scores[part]!.values[image]!), 0),
    ),
    parts: Object.fromEntries(scores.map((part, index) => [names[index]!, part.values])),
    weights: Object.fromEntries(parts.map(([, weight], index) => [names[index]!, weight])),
  };
}

/** The gradient of a sum, in which parts take no part that have values alone. */
export function gradientOf(parts: Parts, scores: readonly ArrayScore[]): Promise<Tensor> {
  const terms = scores.flatMap(({ grad }, part) => (grad ? [{ grad, weight: parts[part]![1] }] : []));
  return binding().weightedSum(
    terms.map(({ grad }) => grad),
    terms.map(({ weight }) => weight),
  );
}

const namesOf = (parts: Parts): string[] => uniqueNames(parts.map(([reward]) => reward.name));

/** Rewards' names, of which the second of a kind ends in `-2`, and so on. */
export function uniqueNames(names: readonly string[]): string[] {
  return names.map((name, index) => {
    const earlier = names.slice(0, index).filter((other) => other === name).length;
    return earlier ? `${name}-${earlier + 1}` : name;
  });
}
