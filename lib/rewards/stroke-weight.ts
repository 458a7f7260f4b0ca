import { z } from 'zod';

import { Origin, setOrigin } from '../files/origin.js';
import { validate } from '../schema/validate.js';
import { binding } from '../runtime/native/index.js';
import { rewardKind, weight } from './reward-kind.js';
import type { ArrayReward } from './reward.js';

export const strokeWeightOptionsSchema = z.strictObject({
  scale: z
    .number()
    .default(10)
    .describe('The mean intensity, a number in [0, 1], is multiplied by this; a negative one rewards thin strokes.'),
});

/** These are the options of {@link strokeWeight}. */
export interface StrokeWeightOptions {
  /**
   * The mean intensity, a number in [0, 1], is multiplied by this; a negative one rewards thin strokes.
   * @defaultValue 10
   */
  scale?: number | undefined;
}

/** Rewards a style: how much ink an image has, `scale` times its mean intensity. */
export function strokeWeight(options: StrokeWeightOptions = {}): ArrayReward {
  const { scale } = validate(strokeWeightOptionsSchema, options, 'strokeWeight options');
  const reward: ArrayReward = {
    name: 'stroke-weight',
    async score(images, _prompts, { gradient = false } = {}) {
      const { values, grad } = await binding().meanIntensity(images, gradient);
      const scaled = values.map((value) => scale * value);
      if (!grad) return { values: scaled };
      try {
        return { values: scaled, grad: await binding().weightedSum([grad], [scale]) };
      } finally {
        grad.dispose();
      }
    },
  };
  setOrigin(reward, () => Origin.of([], { name: reward.name, scale }));
  return reward;
}

export const strokeWeightKind = rewardKind({
  schema: z.strictObject({
    name: z.literal('stroke-weight').describe('The name says which reward.'),
    weight,
    ...strokeWeightOptionsSchema.shape,
  }),
  create: ({ scale }) => strokeWeight({ scale }),
  locate: async () => [],
});
