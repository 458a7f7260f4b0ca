/** The normal distribution's quantile at 97.5 %. */
const z = 1.959963984540054;

/**
 * How many standard errors a mean's 95 % interval reaches to either side: the 97.5 % quantile of Student's t with so
 * many degrees of freedom. Exact for one and two, else within 0.2 % (Abramowitz and Stegun, 26.7.5).
 * @param degrees from 1
 */
export function reachOf95(degrees: number): number {
  if (degrees === 1) return Math.tan(0.475 * Math.PI);
  if (degrees === 2) return 0.95 * Math.sqrt(2 / (1 - 0.95 ** 2));
  return (
    z +
    (z ** 3 + z) / (4 * degrees) +
    (5 * z ** 5 + 16 * z ** 3 + 3 * z) / (96 * degrees ** 2) +
    (3 * z ** 7 + 19 * z ** 5 + 17 * z ** 3 - 15 * z) / (384 * degrees ** 3) +
    (79 * z ** 9 + 776 * z ** 7 + 1482 * z ** 5 - 1920 * z ** 3 - 945 * z) / (92160 * degrees ** 4)
  );
}

/** Below so many samples an interval of a mean is rough: it rests on how normal the samples are. */
export const fewSamples = 30;

/**
 * How far a mean's 95 % interval reaches to either side, from the spread between clusters, such as prompts: values of
 * one prompt are not independent of each other, however many seeds they are from. It is the cluster-robust standard
 * error, √(G/(G − 1) Σ_g (Σ_{i in g} (x_i − x̄))²) / n of n values in G clusters, times Student's t with G − 1 degrees
 * of freedom (Cameron and Miller, "A practitioner's guide to cluster-robust inference", 2015).
 * Values that are all of one cluster count as clusters of their own.
 * @param samples at least two
 */
function reachOfMean(samples: readonly Clustered[], mean: number): number {
  const sums = new Map<string, number>();
  const several = new Set(samples.map(({ cluster }) => cluster)).size > 1;
  for (const [index, { cluster, value }] of samples.entries()) {
    const own = several ? cluster : String(index);
    sums.set(own, (sums.get(own) ?? 0) + value - mean);
  }
  const squares = [...sums.values()].reduce((sum, deviation) => sum + deviation ** 2, 0);
  const standardError = Math.sqrt((squares * sums.size) / (sums.size - 1)) / samples.length;
  return reachOf95(sums.size - 1) * standardError;
}

/** A value and the group that it belongs to, such as a prompt. */
export interface Clustered {
  cluster: string;
  value: number;
}

/**
 * Computes a mean and its 95 % interval, which reaches {@link reachOfMean} to either side. The mean is null of no
 * values, the interval of fewer than two.
 */
export function meanOfClusters(samples: readonly Clustered[]): Pick<Change, 'mean' | 'interval'> {
  if (samples.length === 0) return { mean: null, interval: null };
  const mean = samples.reduce((sum, { value }) => sum + value, 0) / samples.length;
  if (samples.length === 1) return { mean, interval: null };
  const reach = reachOfMean(samples, mean);
  return { mean, interval: [mean - reach, mean + reach] };
}

/** How a mean changed, from pairs of samples that differ in nothing else. */
export interface Change {
  /** The mean of after less before, over the pairs of which both are finite; null where there are none. */
  mean: number | null;
  /**
   * Its 95 % interval, by Student's t from the spread between prompts, since the pairs of a prompt are alike, with one
   * degree of freedom less than prompts; of one prompt it is from the spread between pairs. It is null where there are
   * fewer than two pairs.
   */
  interval: [low: number, high: number] | null;
  /** How many pairs it was computed from. */
  pairs: number;
  /** How many prompts these pairs are of. */
  prompts: number;
}

/**
 * Subtracts each of `before` from the one of `after` at its place.
 * @param prompts the prompt of each pair
 * @returns the differences that are finite
 */
export function pairedDifferences(
  before: readonly number[],
  after: readonly number[],
  prompts: readonly string[],
): Clustered[] {
  return before
    .map((value, index) => ({ cluster: prompts[index]!, value: after[index]! - value }))
    .filter(({ value }) => Number.isFinite(value));
}

/** The change over the pairs that {@link pairedDifferences} found. */
export function changeOver(differences: readonly Clustered[]): Change {
  const prompts = new Set(differences.map(({ cluster }) => cluster)).size;
  return { ...meanOfClusters(differences), pairs: differences.length, prompts };
}
