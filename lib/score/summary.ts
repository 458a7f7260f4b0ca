/** One image's values, by reward, and what was asked for. */
export interface SampleScores {
  prompt: string;
  /** Which of the prompt's samples, from 0. */
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
  mean: number;
  /** Standard deviation over the images. */
  std: number;
  /** 95 %: mean ± 1.96 standard errors. */
  interval: [low: number, high: number];
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

/** What {@link summarize} found. */
export interface ScoreSummary {
  images: number;
  prompts: number;
  rewards: RewardSummary[];
  diversity?: Diversity;
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
  const finite = samples.flatMap(({ prompt, scores }) => (scores[name] == null ? [] : [{ prompt, value: scores[name] }]));
  const count = finite.length;
  const mean = finite.reduce((sum, { value }) => sum + value, 0) / count;
  const variance = finite.reduce((sum, { value }) => sum + (value - mean) ** 2, 0) / (count - 1);
  const reach = 1.96 * standardError(finite, mean);
  return {
    reward: name,
    images: count,
    notFinite: samples.length - count,
    mean,
    std: Math.sqrt(variance),
    interval: [mean - reach, mean + reach],
  };
}

/**
 * Of the mean, from the spread between prompts (the cluster-robust estimate): the images of one prompt are not independent
 * of each other. Of a single prompt, from the spread between its images.
 */
function standardError(samples: readonly { prompt: string; value: number }[], mean: number): number {
  const sums = new Map<string, number>();
  const several = new Set(samples.map(({ prompt }) => prompt)).size > 1;
  for (const [index, { prompt, value }] of samples.entries()) {
    const cluster = several ? prompt : String(index);
    sums.set(cluster, (sums.get(cluster) ?? 0) + value - mean);
  }
  const squares = [...sums.values()].reduce((sum, deviation) => sum + deviation ** 2, 0);
  return Math.sqrt((squares * sums.size) / (sums.size - 1)) / samples.length;
}

/** A line a reward, then what the figures are. */
export function summaryTable(summary: ScoreSummary): string {
  const rows = summary.rewards.map(({ reward, images, mean, std, interval: [low, high], notFinite }) => [
    reward,
    String(images),
    digits(mean),
    `[${digits(low)}, ${digits(high)}]`,
    digits(std),
    notFinite ? `${notFinite} not finite` : '',
  ]);
  const table = [['reward', 'images', 'mean', '95 % interval', 'std', ''], ...rows];
  const widths = table[0]!.map((_, column) => Math.max(...table.map((row) => row[column]!.length)));
  const lines = table.map((row) =>
    row.map((cell, column) => (column === 0 ? cell.padEnd(widths[column]!) : cell.padStart(widths[column]!))).join('  ').trimEnd(),
  );
  const { diversity, images, prompts } = summary;
  lines.push('', `intervals: normal, from the spread between ${prompts > 1 ? `${prompts} prompts` : `${images} images`}`);
  if (diversity) {
    lines.push(
      `diversity: ${digits(diversity.meanCosineDistance)}, mean cosine distance between images of one prompt ` +
        `(${diversity.prompts} ${diversity.prompts === 1 ? 'prompt' : 'prompts'}, ${diversity.features}'s image features)`,
    );
  }
  return lines.join('\n');
}

const digits = (value: number): string => (Number.isFinite(value) ? value.toPrecision(5) : '–');
