/** How far what was computed is from a golden. */
export interface GoldenComparison {
  /** The key that it has in the goldens. */
  name: string;
  /** max |computed − golden|; NaN where a number is. */
  error: number;
  /** The largest |golden|, which the error is compared with. */
  scale: number;
  /** The error passes up to `tolerance · scale`. */
  tolerance: number;
}

/** A golden that nothing was compared with. */
export interface NotChecked {
  /** The key that it has in the goldens. */
  name: string;
  /** Why it was not checked. */
  notChecked: string;
}

/** What was found of a golden. */
export type Finding = GoldenComparison | NotChecked;

/** The error relative to the golden's scale; of a golden that is all zeros, 0 or infinite. */
export function relativeError({ error, scale }: GoldenComparison): number {
  return error === 0 ? 0 : error / scale;
}

export function passes(comparison: GoldenComparison): boolean {
  return relativeError(comparison) <= comparison.tolerance;
}
