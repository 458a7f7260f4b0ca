import type { ArrayScore } from '../rewards/reward.js';
import type { NativeModeMetrics } from '../runtime/native/binding.js';
import type { MeasureName } from './panel/measures.js';
import type { PanelReadings } from './panel/panel.js';
import type { StageSeconds } from './stage-clock.js';
import { spreadOf } from './statistics.js';

/** Network evaluations are counted here: one sample at one time is one. */
export interface Evaluations {
  /** How many velocities were computed, with a backward pass or without. */
  forwards: number;
  /** How many vector–Jacobian products were taken with respect to the network's input. */
  vjps: number;
  /** How many backward passes went to the trained tensors. */
  backwards: number;
}

/** This is what {@link Trainer.run} yields after each step. */
export interface StepMetrics extends Evaluations {
  /** How many steps are done; this one is included. */
  step: number;
  /** The mean of the reward over the batch, before it is multiplied by λ. */
  reward: number;
  /** The standard deviation of the reward over the batch, before it is multiplied by λ. */
  rewardStd: number;
  /** The mean of each reward of a combined one, unweighted. */
  rewards: Record<string, number>;
  /** The mean of each reward times its weight: these add up to `reward`. */
  weightedRewards: Record<string, number>;
  /** How many values of which reward were not finite; left out where all were. */
  nonFiniteRewards?: Record<string, number>;
  /** The mean of the algorithm's loss over the samples that were kept. */
  loss: number;
  /** The norm of the gradient of all trained tensors together, before it was clipped. */
  gradNorm: number;
  /** This step's learning rate, warm-up and decay included. */
  learningRate: number;
  /** How many samples were left out because a reward, gradient or loss was not finite. */
  dropped: number;
  /** How many samples had their reward gradient clipped. */
  clipped: number;
  /** How many terms of the loss reached their cap. */
  capped: number;
  /** Whether the update was left out, because its gradient was not finite or every sample was dropped. */
  skipped: boolean;
  /** The mean over the samples of ‖∇r‖, as the reward gave it. */
  rewardGradientNorm: number;
  /** The mean over the samples of ‖∇ log p_pre‖ at the endpoint; 0 for an algorithm that takes none. */
  scoreNorm: number;
  /** Measurements of the term that corrects mode weights, where the algorithm has it and a sample was kept. */
  modes?: NativeModeMetrics;
  /**
   * Share of a prompt's endpoints that carries the weight, (Σ w)²/(N Σ w²), mean over the batch, where they are the
   * pretrained model's.
   */
  effectiveShare?: number;
  /** How many seconds this step took. */
  seconds: number;
  /** How many of them went to which stage. */
  stages: StageSeconds;
  /**
   * What the run took since its first step, and its endpoints of the pretrained model; interruptions are left out.
   */
  total: Evaluations & {
    /** How many seconds passed on the wall. */
    seconds: number;
  };
}

/** The panel's measurement after a step, as metrics.jsonl has it: means over its images. */
export interface PanelMetrics extends PanelReadings {
  /** The drift at the times of each quarter of [0, 1]: see {@link Drift}. */
  driftByTime?: Record<string, number>;
  /** The measures that were past their limits. */
  alarms: MeasureName[];
}

/** Totals before the first step. */
export const noTotals: StepMetrics['total'] = { forwards: 0, vjps: 0, backwards: 0, seconds: 0 };

/** Totals with one step more. */
export function addTotals(total: StepMetrics['total'], step: Evaluations & { seconds: number }): StepMetrics['total'] {
  return {
    forwards: total.forwards + step.forwards,
    vjps: total.vjps + step.vjps,
    backwards: total.backwards + step.backwards,
    seconds: total.seconds + step.seconds,
  };
}

/** What is told of the rewards of a step: means over the batch, and what was not finite. */
export function rewardMetrics(
  name: string,
  { values, parts = { [name]: values }, weights }: Omit<ArrayScore, 'grad'>,
): Pick<StepMetrics, 'reward' | 'rewardStd' | 'rewards' | 'weightedRewards' | 'nonFiniteRewards'> {
  const reward = spreadOf(values);
  const nonFinite = Object.entries(parts).flatMap(([part, numbers]) => {
    const count = numbers.filter((value) => !Number.isFinite(value)).length;
    return count ? [[part, count] as const] : [];
  });
  const means = Object.entries(parts).map(([part, numbers]) => [part, spreadOf(numbers).mean] as const);
  return {
    reward: reward.mean,
    rewardStd: reward.std,
    rewards: Object.fromEntries(means),
    weightedRewards: Object.fromEntries(means.map(([part, mean]) => [part, (weights?.[part] ?? 1) * mean])),
    ...(nonFinite.length && { nonFiniteRewards: Object.fromEntries(nonFinite) }),
  };
}
