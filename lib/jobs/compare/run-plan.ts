import { join } from 'node:path';

import { folderOf, type Budget, type CompareSettings, type Contender } from './config.js';
import type { RunResult } from './results.js';

/** One run to be made. */
export interface RunPlan {
  contender: Contender;
  seed: number;
  learningRate: number;
  budget: Budget;
  /** Measurements on the way, the last one after the last step. */
  points: number;
  /** Whether to evaluate at the end, and to keep the adapter and a grid of samples. */
  whole: boolean;
  /** Its folder in the comparison's. */
  folder: string;
}

/** A short run, to see what a learning rate comes to. */
export function sweepPlan(
  { budget, seed }: NonNullable<CompareSettings['sweep']>,
  contender: Contender,
  learningRate: number,
): RunPlan {
  const folder = join('sweep', `${folderOf(contender.name)}-${learningRate}`);
  return { contender, learningRate, budget, seed, points: 1, whole: false, folder };
}

/** A run that is reported. */
export function finalPlan({ budget, tracking }: CompareSettings, contender: Contender, seed: number) {
  const folder = join('runs', `${folderOf(contender.name)}-seed-${seed}`);
  return { contender, budget: contender.budget ?? budget, seed, points: tracking.points, whole: true, folder };
}

/** A run's configuration as its logs have it. */
export const loggedConfig = (config: CompareSettings, plan: RunPlan): object => ({
  model: config.model,
  prompts: config.prompts,
  rewards: config.rewards,
  contender: plan.contender.name,
  algorithm: plan.contender.algorithm,
  ...settingsOf(config, plan),
});

/** What decides a run beside what it belongs to, with defaults filled in. */
export function settingsOf(
  config: CompareSettings,
  { contender, seed, learningRate, budget, points, whole }: RunPlan,
): RunResult['settings'] {
  const { device, dtype, adapter, image, checkpointing, textLength, decoder, negativePrompt } = config;
  const { tracking, evaluation } = config;
  const { points: _, ...trackingSet } = tracking;
  const settings = {
    device,
    dtype,
    adapter,
    image,
    checkpointing,
    textLength,
    decoder,
    negativePrompt,
    seed,
    budget,
    points,
    optimizer: { ...(contender.optimizer ?? config.optimizer), learningRate },
    batch: contender.batch ?? config.batch,
    tracking: { ...trackingSet, judge: evaluation.judge },
    ...(whole && { evaluation }),
  };
  return JSON.parse(JSON.stringify(settings)) as RunResult['settings'];
}
