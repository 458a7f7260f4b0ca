import type { Model } from '../../models/model.js';
import type { Judge } from '../../rewards/reward.js';
import type { NativeOptimizer } from '../../runtime/native/binding.js';
import { JudgedImages, slicedWasserstein } from '../../training/judged-images.js';
import { cyclePrompts, sampleBatches, type SampleOptions } from '../../training/sampler.js';
import { percent } from '../figures.js';
import { alignedLines } from '../text-table.js';
import type { DistillSettings } from './config.js';

/** What a judge saw in the images of one model. */
export interface JudgedModel {
  /** Fraction of images in which the judge sees what the prompt asked for. */
  accuracy: number;
  /** Mean distance over all pairs of images, in the judge's features. */
  diversity: number;
  /**
   * Sliced Wasserstein-2 distance to the teacher's images, in the judge's features; the teacher's own is that of images
   * from other noise, which no student can be expected to be below.
   */
  distance: number;
}

/** How like its teacher a distilled model draws. */
export interface Likeness {
  /** Images of each model. */
  count: number;
  /** The seed of the noise, in decimal digits. */
  seed: string;
  /** The teacher's guidance. */
  guidance: number;
  /** The pretrained model with guidance. */
  teacher: JudgedModel;
  /** The pretrained model at guidance 1. */
  unguided: JudgedModel;
  /** The distilled model at guidance 1. */
  student: JudgedModel;
}

/** {@link measureLikeness} draws so many sets of images. */
export const setsOfImages = 4;

export interface LikenessOptions {
  config: DistillSettings & Required<Pick<DistillSettings, 'evaluation'>>;
  judge: Judge;
  /** Where the optimizer averages. */
  average: NativeOptimizer | undefined;
  signal: AbortSignal | undefined;
  onProgress(done: number, forwards: number): void;
}

/** Compares the distilled model with its teacher and with what it was before, on the same prompts and noise. */
export async function measureLikeness(
  model: Model,
  { config, judge, average, signal, onProgress }: LikenessOptions,
): Promise<Likeness> {
  const { evaluation, teacher: guided, prompts, negativePrompt } = config;
  const { count, steps, solver, batch } = evaluation;
  const seed = BigInt(evaluation.seed);
  const sets: JudgedImages[] = [];
  let done = 0;
  const draw = async (options: Omit<SampleOptions, 'prompts'>): Promise<JudgedImages> => {
    const seen = new JudgedImages(judge);
    sets.push(seen);
    const drawn = sampleBatches(model, {
      prompts: cyclePrompts(prompts, count),
      negativePrompt,
      batch,
      signal,
      ...options,
    });
    for await (const { images: drawnImages, prompts: asked, forwards } of drawn) {
      using images = drawnImages;
      await seen.add(images, asked, signal);
      done += asked.length;
      onProgress(done, forwards);
    }
    return seen;
  };
  const ofTeacher = { ...guided, weights: 'pretrained' } as const;
  try {
    const teacher = await draw({ ...ofTeacher, batch: guided.batch ?? batch, seed });
    const other = await draw({ ...ofTeacher, batch: guided.batch ?? batch, seed: seed + 1n });
    const unguided = await draw({ steps, solver, guidance: 1, weights: 'pretrained', seed });
    const student = await draw({ steps, solver, guidance: 1, weights: 'trained', average, seed });
    const judged = async (seen: JudgedImages, compared: JudgedImages): Promise<JudgedModel> => ({
      accuracy: seen.accuracy,
      diversity: await seen.diversity(),
      distance: await slicedWasserstein(teacher, compared),
    });
    return {
      count,
      seed: String(seed),
      guidance: guided.guidance,
      teacher: await judged(teacher, other),
      unguided: await judged(unguided, unguided),
      student: await judged(student, student),
    };
  } finally {
    for (const seen of sets) seen[Symbol.dispose]();
  }
}

/** The figures for people. */
export function likenessTable({ count, guidance, ...models }: Likeness): string {
  const row = (name: string, { accuracy, diversity, distance }: JudgedModel) => [
    name,
    percent(accuracy),
    diversity.toFixed(3),
    distance.toFixed(3),
  ];
  const rows = [
    ['', 'judge sees the prompt', 'diversity', "distance to the teacher's"],
    row(`teacher, guidance ${guidance}`, models.teacher),
    row('pretrained, guidance 1', models.unguided),
    row('distilled, guidance 1', models.student),
  ];
  return alignedLines(rows)
    .concat(
      '',
      `${count} images of each model; distance: sliced Wasserstein-2 of the judge's features, the teacher's own ` +
        'between images from two seeds',
    )
    .join('\n');
}
