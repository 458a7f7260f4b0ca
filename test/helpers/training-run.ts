// Short runs of a trainer, and rewards that do something in one of their calls.
import type { Reward } from '../../lib/rewards/reward.js';
import { strokeWeight } from '../../lib/rewards/stroke-weight.js';
import type { StepMetrics } from '../../lib/training/metrics.js';
import type { Trainer } from '../../lib/training/trainer.js';

/** How long a run is where a test does not say. */
export const steps = 6;

/** Trains up to step `total` and gives the metrics of every step. */
export async function train(trainer: Trainer, total = steps, signal?: AbortSignal): Promise<StepMetrics[]> {
  const seen: StepMetrics[] = [];
  for await (const step of trainer.run({ steps: total, signal })) seen.push(step);
  return seen;
}

/** The stroke-weight reward, with something done in its n-th call. */
export function disturbed(call: number, disturb: (values: Float32Array) => void): Reward {
  const inner = strokeWeight({ scale: 4 });
  let calls = 0;
  return {
    name: inner.name,
    async score(...args) {
      const scored = await inner.score(...args);
      if (++calls === call) disturb(scored.values);
      return scored;
    },
  };
}
