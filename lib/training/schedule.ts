import type { OptimizerSettings } from './settings.js';

/**
 * The learning rate of step `step` (0 the first) of `steps`: a linear warm-up, then constant or a cosine to its floor.
 */
export function learningRateAt(settings: OptimizerSettings, step: number, steps: number): number {
  const { learningRate, warmup, schedule, floor } = settings;
  if (step < warmup) return (learningRate * (step + 1)) / warmup;
  if (schedule === 'constant') return learningRate;
  const progress = Math.min(1, (step - warmup) / Math.max(1, steps - warmup));
  return learningRate * (floor + (1 - floor) * 0.5 * (1 + Math.cos(Math.PI * progress)));
}
