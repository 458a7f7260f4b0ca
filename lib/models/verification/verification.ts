import type { ModelDType } from '../model.js';
import type { Goldens } from './goldens.js';

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

/** Findings as they are made. */
export type Findings = AsyncGenerator<Finding, void, void>;

/** What a verifier computes with. */
export interface VerifySettings {
  device: string;
  dtype: ModelDType;
  /** Of {@link GoldenComparison}. */
  tolerance: number;
  /** Of a reward that reads another model's features, that model's directory, where one was named. */
  tower?: string | undefined;
  /** Told what the user should know. */
  onNote: (message: string) => void;
}

/**
 * Computes what a directory's goldens hold and compares: models have theirs in lib/models/verifiers.ts, rewards in
 * lib/rewards/verifiers.ts. It derives everything from the keys, the shapes and the directory's configuration, and yields
 * {@link NotChecked} for the goldens of a component that the directory lacks. What it neither compares nor reads through
 * `goldens` is reported as not known to it.
 */
export type Verifier = (directory: string, goldens: Goldens, settings: VerifySettings) => Findings;

/** The error relative to the golden's scale; of a golden that is all zeros, 0 or infinite. */
export function relativeError({ error, scale }: GoldenComparison): number {
  return error === 0 ? 0 : error / scale;
}

export function passes(comparison: GoldenComparison): boolean {
  return relativeError(comparison) <= comparison.tolerance;
}
