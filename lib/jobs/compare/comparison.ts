import type { CompareConfig } from '../settings/config.generated.js';
import type { CompareSettings } from './config.js';
import type { MeanCurve } from './curves.js';
import type { Baseline, RunResult, SweepEntry } from './results.js';
import type { SpeedUp } from './speed-up.js';

/** One contender's part of a comparison. */
export interface ContenderResult {
  /** The contender's name in the configuration. */
  name: string;
  /**
   * AdamW's learning rate at its highest: the one that was given, or the sweep's choice; left out where nothing is
   * trained.
   */
  learningRate?: number;
  /** How many network evaluations an image takes that is drawn for the tracking set. */
  evaluationsPerImage: number;
  /** The contender's runs, one for each seed. */
  runs: RunResult[];
  /** The mean over these runs of what was measured on the way. */
  curve: MeanCurve;
}

/** This is what compare.json holds. */
export interface Comparison {
  /**
   * The configuration with every default filled in. Rewards and judges that a program made have only a name in it,
   * since no file can hold them.
   */
  config: CompareConfig;
  /** These versions of the package, of LibTorch and of Node made the comparison. */
  versions: Readonly<Record<string, string>>;
  /** The runs were timed on this machine. */
  machine: {
    /** The processor's name, as the system gives it. */
    processor: string;
    /** An operator ran on this many threads. */
    threads: number;
    /** The models were on this device: `'cpu'`, `'cuda'` or `'cuda:N'`. */
    device: string;
  };
  /** What was measured on the pretrained model, before any training. */
  pretrained: Baseline;
  /** The learning rates that were tried; empty where each contender was given its own. */
  sweep: SweepEntry[];
  /** The contenders, in the configuration's order. */
  contenders: ContenderResult[];
  /** How much cheaper the first contender is than each of the others that are trained. */
  speedUps: SpeedUp[];
}

/** A comparison whose configuration is the one that it was made with. */
export interface FinishedComparison extends Omit<Comparison, 'config'> {
  config: CompareSettings;
}
