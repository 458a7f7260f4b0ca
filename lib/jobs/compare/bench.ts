import type { Model } from '../../models/model.js';
import type { Judge, Reward } from '../../rewards/reward.js';
import { createAlgorithm } from '../../training/algorithms.js';
import type { Belonging, BelongsTo } from '../../training/belonging.js';
import { measure } from '../../training/evaluation.js';
import type { Measurement } from '../../training/measured-model.js';
import { cyclePrompts, encodeGrid, sampleImages } from '../../training/sampler.js';
import { Trainer } from '../../training/trainer.js';
import type { JobObserver } from '../progress.js';
import { loadConfiguredModel } from '../settings/model.js';
import type { CompareSettings, Contender } from './config.js';
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

/** How many network evaluations one step of a contender makes. */
export async function evaluationsPerStep(bench: Bench, contender: Contender): Promise<number> {
  using model = await openModel(bench, 0);
  const trainer = createTrainer(bench, { contender, learningRate: 1e-9, seed: 0 }, model);
  for await (const { forwards, vjps, backwards } of trainer.run({ steps: 1, signal: bench.signal }))
    return forwards + vjps + backwards;
  throw new Error('a run of one step made none');
}

/** The tracking set or the evaluation set, measured with the judge. */
export async function measureSet(
  { config, reward, judge, signal }: Bench,
  model: Model,
  set: 'tracking' | 'evaluation',
  trainer?: Trainer,
): Promise<Measurement> {
  const { count, steps, solver, guidance, batch, seed } = config[set];
  const { prompts, negativePrompt } = config;
  const options = {
    reward,
    judge,
    prompts,
    negativePrompt,
    count,
    seed: BigInt(seed),
    steps,
    solver,
    guidance,
    batch,
    signal,
  };
  const weights = trainer ? 'trained' : 'pretrained';
  return (await measure(model, { ...options, average: trainer?.averaging }, weights)).measurement;
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
