/** These are a mean and a standard deviation. */
export interface Spread {
  /** The mean over the finite samples. */
  mean: number;
  /** The standard deviation over the finite samples. */
  std: number;
}

/** Mean and standard deviation of the finite values; NaN where there are none. */
export function spreadOf(values: Iterable<number>): Spread {
  const finite = Array.from(values).filter(Number.isFinite);
  const mean = finite.reduce((sum, value) => sum + value, 0) / finite.length;
  const variance = finite.reduce((sum, value) => sum + (value - mean) ** 2, 0) / finite.length;
  return { mean, std: Math.sqrt(variance) };
}
