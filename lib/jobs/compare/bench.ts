import type { Model } from '../../models/model.js';
import type { Judge, Reward } from '../../rewards/reward.js';
import { createAlgorithm } from '../../training/algorithms.js';
import type { Belonging, BelongsTo } from '../../training/belonging.js';
import { measureBestOf } from '../../training/best-of.js';
import { measure } from '../../training/evaluation.js';
import { meanEvaluations, rewardPasses } from '../../training/evaluations.js';
import type { Measurement } from '../../training/measured-model.js';
import { cyclePrompts, encodeGrid, sampleImages } from '../../training/sampler.js';
import { Trainer } from '../../training/trainer.js';
import { rewardParts } from '../plan/reward-parts.js';
import type { JobObserver } from '../progress.js';
import { loadConfiguredModel } from '../settings/model.js';
import type { CompareSettings, TrainedContender } from './config.js';
import type { RunPlan } from './run-plan.js';

/** What all runs of a comparison share. */
export interface Bench {
  config: CompareSettings;
  reward: Reward;
  judge: Judge | undefined;
  observer: JobObserver;
  signal: AbortSignal | undefined;
  /** What every run belongs to. */
  belongsTo: BelongsTo;
  /** What may be another than a finished run had. */
  allow: readonly Belonging[] | undefined;
}

/** Loads the model, its adapter initialised from a run's seed. */
export async function openModel({ config }: Bench, seed: number): Promise<Model> {
  return loadConfiguredModel(config, { seed: BigInt(seed) });
}

export function createTrainer(
  { config, reward }: Bench,
  { contender, learningRate, seed }: Pick<RunPlan, 'contender' | 'learningRate' | 'seed'>,
  model: Model,
): Trainer {
  return new Trainer({
    model,
    reward,
    prompts: config.prompts,
    negativePrompt: config.negativePrompt,
    algorithm: createAlgorithm(contender.algorithm),
    optimizer: { ...(contender.optimizer ?? config.optimizer), learningRate },
    batch: contender.batch ?? config.batch,
    seed,
  });
}

/** How many network evaluations one step of a contender makes, on average where it draws them. */
export function evaluationsPerStep({ config }: Bench, contender: TrainedContender): number {
  const { algorithm, batch = config.batch } = contender;
  return batch * meanEvaluations(algorithm, rewardPasses(algorithm, batch, rewardParts(config.rewards)));
}

/** The tracking set or the evaluation set, measured with the judge. */
export async function measureSet(
  bench: Bench,
  model: Model,
  set: 'tracking' | 'evaluation',
  trainer?: Trainer,
): Promise<Measurement> {
  const { config, reward, judge } = bench;
  const options = { reward, judge, count: config[set].count, ...drawingOf(bench, set) };
  const weights = trainer ? 'trained' : 'pretrained';
  return (await measure(model, { ...options, average: trainer?.averaging }, weights)).measurement;
}

/** Measures the pretrained model where each image is the best of `bestOf` candidates by the training reward. */
export async function measureBest(
  bench: Bench,
  model: Model,
  set: 'tracking' | 'evaluation',
  { bestOf: candidates, seed }: { bestOf: number; seed: number },
): Promise<Measurement> {
  const { reward, judge } = bench;
  return measureBestOf(model, { candidates, reward, seed }, judge, drawingOf(bench, set));
}

/** How a set is drawn: an image a prompt. */
function drawingOf({ config, signal }: Bench, set: 'tracking' | 'evaluation') {
  const { count, steps, solver, guidance, batch, seed } = config[set];
  const prompts = cyclePrompts(config.prompts, count);
  const { negativePrompt } = config;
  return { prompts, negativePrompt, seed: BigInt(seed), steps, solver, guidance, batch, signal };
}

/** A grid of samples as a PNG, of the pretrained model where there is no trainer. */
export async function drawGrid({ config, signal }: Bench, model: Model, trainer?: Trainer): Promise<Uint8Array> {
  const { count, columns, steps, solver, guidance, batch, seed } = config.samples;
  const images = await sampleImages(model, {
    prompts: cyclePrompts(config.prompts, count),
    seed: BigInt(seed),
    steps,
    solver,
    guidance,
    batch,
    signal,
    negativePrompt: config.negativePrompt,
    weights: trainer ? 'trained' : 'pretrained',
    average: trainer?.averaging,
  });
  try {
    return await encodeGrid(images, columns);
  } finally {
    images.dispose();
  }
}
