/** This is what several values come to. */
export interface Summary {
  /** The arithmetic mean. */
  mean: number;
  /** The sample standard deviation, with n − 1; 0 for a single value. */
  std: number;
  /** The smallest value. */
  low: number;
  /** The largest value. */
  high: number;
  /** How many values there are. */
  count: number;
}

/** Summarises a list of values; an empty one has no summary. */
export function summarise(values: readonly number[]): Summary | undefined {
  const count = values.length;
  if (count === 0) return undefined;
  const mean = values.reduce((sum, value) => sum + value, 0) / count;
  const squares = values.reduce((sum, value) => sum + (value - mean) ** 2, 0);
  return {
    mean,
    std: count > 1 ? Math.sqrt(squares / (count - 1)) : 0,
    low: Math.min(...values),
    high: Math.max(...values),
    count,
  };
}
