import type { ModelDType } from '../model.js';
import type { Finding } from './finding.js';
import type { Goldens } from './goldens.js';

/** Findings as they are made. */
export type Findings = AsyncGenerator<Finding, void, void>;

/** What a verifier computes with. */
export interface VerifySettings {
  device: string;
  dtype: ModelDType;
  /** The `tolerance` of {@link GoldenComparison}. */
  tolerance: number;
  /** The directory of the model whose features a reward reads, where one was named. */
  tower?: string | undefined;
  /** Told what the user should know. */
  onNote: (message: string) => void;
}

/**
 * Computes what a directory's goldens hold and compares; kinds of models and of rewards have one. It derives everything
 * from the keys, the shapes and the directory's configuration, and yields {@link NotChecked} for the goldens of a
 * component that the directory lacks. What it neither compares nor reads through `goldens` is reported as not known to
 * it.
 */
export type Verifier = (directory: string, goldens: Goldens, settings: VerifySettings) => Findings;
