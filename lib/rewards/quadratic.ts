import { z } from 'zod';

import { Origin, setOrigin } from '../files/origin.js';
import { validate } from '../schema/validate.js';
import { binding } from '../runtime/native/index.js';
import type { Reward } from './reward.js';

const numbers = z.array(z.number()).min(1);

export const quadraticOptionsSchema = z
  .strictObject({
    /** One number for each of a sample's d numbers, as in the others; default: zeros. */
    linear: numbers.optional(),
    quadratic: numbers.optional(),
    center: numbers.optional(),
  })
  .refine(({ linear, quadratic }) => linear ?? quadratic, 'expected linear, quadratic or both')
  .transform(({ linear, quadratic, center }) => {
    const zeros = (linear ?? quadratic ?? []).map(() => 0);
    return { linear: linear ?? zeros, quadratic: quadratic ?? zeros, center: center ?? zeros };
  });

/**
 * Options of {@link quadratic}: each list has one number for each of a sample's d numbers; `linear`, `quadratic` or
 * both are given.
 */
export interface QuadraticOptions {
  /** ∇r at the center; default: zeros. */
  linear?: number[] | undefined;
  /** The curvatures, one for each number; default: zeros. */
  quadratic?: number[] | undefined;
  /** The point where the quadratic part is zero; default: zeros. */
  center?: number[] | undefined;
}

/**
 * r(x) = Σ linear·x − ½ Σ quadratic·(x − center)², over a sample's numbers in memory order: the reward whose tilt of a
 * Gaussian mixture is known in closed form.
 */
export function quadratic(options: QuadraticOptions): Reward {
  const form = validate(quadraticOptionsSchema, options, 'quadratic options');
  const reward: Reward = {
    name: 'quadratic',
    score: (images, _prompts, { gradient = false } = {}) => binding().quadratic(images, form, gradient),
  };
  setOrigin(reward, () => Origin.of([], { name: reward.name, ...form }));
  return reward;
}
