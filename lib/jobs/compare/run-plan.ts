import { join } from 'node:path';

import { folderOf, type Budget, type CompareSettings, type Contender, type TrainedContender } from './config.js';
import type { RunResult } from './results.js';

/** One run to be made. */
export interface RunPlan {
  contender: TrainedContender;
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

/** The measuring of the best of so many images, which trains nothing. */
export interface BestOfPlan {
  contender: Contender & { bestOf: number };
  /** The candidates' noise is drawn from it. */
  seed: number;
  /** Its folder in the comparison's. */
  folder: string;
}

/** A short run, to see what a learning rate comes to. */
export function sweepPlan(
  { budget, seed }: NonNullable<CompareSettings['sweep']>,
  contender: TrainedContender,
  learningRate: number,
): RunPlan {
  const folder = join('sweep', `${folderOf(contender.name)}-${learningRate}`);
  return { contender, learningRate, budget, seed, points: 1, whole: false, folder };
}

/** A run that is reported. */
export function finalPlan({ budget, tracking }: CompareSettings, contender: TrainedContender, seed: number) {
  const folder = finalFolder(contender, seed);
  return { contender, budget: contender.budget ?? budget, seed, points: tracking.points, whole: true, folder };
}

/** The best of several images, measured for one seed of the comparison. */
export const bestOfPlan = (contender: Contender, seed: number): BestOfPlan => ({
  // The configuration's check leaves no contender without either.
  contender: { ...contender, bestOf: contender.bestOf! },
  seed,
  folder: finalFolder(contender, seed),
});

/** The folder of a contender's run with a seed, in the comparison's. */
export const finalFolder = ({ name }: Contender, seed: number): string =>
  join('runs', `${folderOf(name)}-seed-${seed}`);

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
export function settingsOf(config: CompareSettings, plan: RunPlan | BestOfPlan): RunResult['settings'] {
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
    seed: plan.seed,
    tracking: { ...trackingSet, judge: evaluation.judge },
    ...('budget' in plan ? trainingOf(config, plan) : { bestOf: plan.contender.bestOf, evaluation }),
  };
  return JSON.parse(JSON.stringify(settings)) as RunResult['settings'];
}

function trainingOf(config: CompareSettings, { contender, budget, points, learningRate, whole }: RunPlan) {
  return {
    budget,
    points,
    optimizer: { ...(contender.optimizer ?? config.optimizer), learningRate },
    batch: contender.batch ?? config.batch,
    ...(whole && { evaluation: config.evaluation }),
  };
}
