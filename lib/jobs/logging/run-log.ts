import type { Scalar } from '../../training/metric-names.js';

/** Where a run's figures and pictures go, beside its own files. What cannot be written is a CheckpointError. */
export interface RunLog {
  /** Numbers of a step. */
  scalars(step: number, scalars: readonly Scalar[]): Promise<void>;
  /** A grid of samples, as a PNG. */
  image(step: number, png: Uint8Array): Promise<void>;
  /** The configuration of the run, with every default filled in. */
  config(config: object): Promise<void>;
  /** Forgets what comes after `step`: a resumed run logs it again. */
  rewind(step: number): Promise<void>;
}
