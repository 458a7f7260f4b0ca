/** How far what was computed is from a golden. */
export interface GoldenComparison {
  /** Its key in the goldens. */
  name: string;
  /** max |computed − golden|; NaN where a number is. */
  error: number;
  /** max |golden|. */
  scale: number;
  /** The error passes up to `tolerance · scale`. */
  tolerance: number;
}

/** A golden that nothing was compared with. */
export interface NotChecked {
  /** Its key in the goldens. */
  name: string;
  /** Why not. */
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
