import { ConfigError } from '../errors.js';
import { binding } from '../runtime/native/index.js';
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
import { setParts } from './identity.js';
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
  const names = uniqueNames(parts.map(([reward]) => reward.name));
  const weights = Object.fromEntries(parts.map(([, weight], index) => [names[index]!, weight]));
  const combined: ArrayReward = {
    name: names.join(' + '),
    ...(!parts.some(([reward, weight]) => weight !== 0 && hasGradient(reward)) && { differentiable: false }),
    async score(images, prompts, options = {}): Promise<CheckedScore> {
      const scores: CheckedScore[] = [];
      try {
        for (const [reward, weight] of parts) {
          const gradient = options.gradient && weight !== 0 && hasGradient(reward);
          scores.push(await score(reward, images, prompts, { ...options, gradient }));
        }
        const values = Float32Array.from(prompts, (_, image) =>
          parts.reduce(
            (sum, [, weight], part) => (weight === 0 ? sum : sum + weight * scores[part]!.values[image]!),
            0,
          ),
        );
        const result: ArrayScore = {
          values,
          parts: Object.fromEntries(scores.map((part, index) => [names[index]!, part.values])),
          weights,
        };
        if (options.gradient) {
          // A reward that has values alone takes no part in the gradient.
          const terms = scores.flatMap(({ grad }, part) => (grad ? [{ grad, weight: parts[part]![1] }] : []));
          result.grad = await binding().weightedSum(
            terms.map(({ grad }) => grad),
            terms.map(({ weight }) => weight),
          );
        }
        return checked(result, images);
      } finally {
        for (const part of scores) part.grad?.dispose();
      }
    },
  };
  setParts(combined, parts);
  return combined;
}

/** Rewards' names, of which the second of a kind ends in `-2`, and so on. */
export function uniqueNames(names: readonly string[]): string[] {
  return names.map((name, index) => {
    const earlier = names.slice(0, index).filter((other) => other === name).length;
    return earlier ? `${name}-${earlier + 1}` : name;
  });
}
