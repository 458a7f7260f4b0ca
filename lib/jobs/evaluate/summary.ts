import { EamError } from '../../errors.js';
import { fewSamples, meanOfClusters } from '../../training/student.js';
import { alignedLines } from '../text-table.js';

/** One image's values, by reward, and what was asked for. */
export interface SampleScores {
  prompt: string;
  /** The number of the sample among the prompt's, from 0. */
  sample?: number;
  /** The image's file. */
  file?: string;
  /** null: not finite. */
  scores: Record<string, number | null>;
}

/** A reward's values over all images. */
export interface RewardSummary {
  reward: string;
  /** Finite values. */
  images: number;
  notFinite: number;
  /** null: no value is finite. */
  mean: number | null;
  /** Standard deviation over the images; null of fewer than two. */
  std: number | null;
  /**
   * 95 %, of Student's t with one degree of freedom less than prompts (of one prompt: images); null of fewer than two
   * images.
   */
  interval: [low: number, high: number] | null;
}

/** How alike the images of one prompt are. */
export interface Diversity {
  /** Mean 1 − cosine over all pairs of a prompt's images, averaged over prompts. */
  meanCosineDistance: number;
  /** The reward in whose image features. */
  features: string;
  /** Prompts of two images or more. */
  prompts: number;
}

/** An image that could not be read, and why. */
export interface SkippedImage {
  file: string;
  problem: string;
}

/** What {@link summarize} found. */
export interface ScoreSummary {
  images: number;
  prompts: number;
  rewards: RewardSummary[];
  diversity?: Diversity;
  /** Left out where every image was scored. */
  skipped?: SkippedImage[];
}

/** @throws EamError that lists the images that could not be read */
export function refuseSkipped({ images, skipped = [] }: Pick<ScoreSummary, 'images' | 'skipped'>): void {
  if (skipped.length === 0) return;
  const lines = skipped.slice(0, 8).map(({ file, problem }) => `\n  ${file} ${problem}`);
  const more = skipped.length > 8 ? `\n  and ${skipped.length - 8} more` : '';
  const all = images + skipped.length;
  const what = images
    ? `${skipped.length} of ${all} images could not be read; the figures are those of the others:`
    : `none of ${all} images could be read:`;
  throw new EamError('ERR_EAM_IMAGE', what + lines.join('') + more);
}

export function summarize(samples: readonly SampleScores[], diversity?: Diversity): ScoreSummary {
  const names = Object.keys(samples[0]?.scores ?? {});
  return {
    images: samples.length,
    prompts: new Set(samples.map(({ prompt }) => prompt)).size,
    rewards: names.map((name) => summarizeReward(name, samples)),
    ...(diversity && { diversity }),
  };
}

function summarizeReward(name: string, samples: readonly SampleScores[]): RewardSummary {
  const finite = samples.flatMap(({ prompt, scores }) =>
    scores[name] == null ? [] : [{ cluster: prompt, value: scores[name] }],
  );
  const count = finite.length;
  const known = { reward: name, images: count, notFinite: samples.length - count };
  const { mean, interval } = meanOfClusters(finite);
  // One value says nothing of how others would lie around it.
  if (count < 2) return { ...known, mean, std: null, interval };
  const variance = finite.reduce((sum, { value }) => sum + (value - mean!) ** 2, 0) / (count - 1);
  return { ...known, mean, std: Math.sqrt(variance), interval };
}

/** A line a reward, then what the figures are. */
export function summaryTable(summary: ScoreSummary): string {
  const rows = summary.rewards.map(({ reward, images, mean, std, interval, notFinite }) => [
    reward,
    String(images),
    digits(mean),
    interval ? `[${digits(interval[0])}, ${digits(interval[1])}]` : '–',
    digits(std),
    notFinite ? `${notFinite} not finite` : '',
  ]);
  const lines = alignedLines([['reward', 'images', 'mean', '95 % interval', 'std', ''], ...rows]);
  const { diversity } = summary;
  lines.push('', ofIntervals(summary));
  if (diversity) {
    lines.push(
      `diversity: ${digits(diversity.meanCosineDistance)}, mean cosine distance between images of one prompt ` +
        `(${diversity.prompts} ${diversity.prompts === 1 ? 'prompt' : 'prompts'}, ${diversity.features}'s image ` +
        'features)',
    );
  }
  return lines.join('\n');
}

function ofIntervals({ images, prompts }: ScoreSummary): string {
  if (images === 1) return 'no interval: a single image has no spread';
  if (prompts === 1)
    return (
      `intervals: Student's t, from the spread between ${images} images of one prompt; they say nothing of other ` +
      `prompts${roughness(images)}`
    );
  return `intervals: Student's t, from the spread between ${prompts} prompts${roughness(prompts)}`;
}

const roughness = (count: number): string =>
  count < fewSamples ? `; of fewer than ${fewSamples}, they are rough` : '';

const digits = (value: number | null): string => (value === null ? '–' : value.toPrecision(5));
