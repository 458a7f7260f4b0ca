import type { Scalar } from '../../training/metric-names.js';

/** Where a run's figures and pictures go, beside its own files. What cannot be written is a CheckpointError. */
export interface RunLog {
  /** Logs numbers of a step. */
  scalars(step: number, scalars: readonly Scalar[]): Promise<void>;
  /** Logs a grid of samples, which is given as a PNG and by the path of its file. */
  image(step: number, png: Uint8Array, path: string): Promise<void>;
  /** Logs the configuration of the run, with every default filled in. */
  config(config: object): Promise<void>;
  /** Logs the figures that were measured at the end, after the last step. */
  summary(step: number, scalars: readonly Scalar[]): Promise<void>;
  /** Forgets what comes after `step`: a resumed run logs it again. */
  rewind(step: number): Promise<void>;
  /** Ends the log. `whole` says whether the run came to its end. */
  close(whole: boolean): Promise<void>;
}

/** A run as its logs call it. */
export interface LoggedRun {
  /** The run's folder. */
  directory: string;
  /** The name of the group that the run belongs to, such as that of a comparison. */
  group?: string | undefined;
  /** Told where the run is logged, and once of what went wrong without harm to the run. */
  onNote: (line: string) => void;
}
