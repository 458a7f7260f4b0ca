import type { CompareConfig } from './config.js';
import type { MeanCurve } from './curves.js';
import type { Baseline, RunResult, SweepEntry } from './results.js';
import type { SpeedUp } from './speed-up.js';

/** One contender's part of a comparison. */
export interface ContenderResult {
  /** As the configuration names it. */
  name: string;
  /** The one it was given, or the sweep's choice. */
  learningRate: number;
  /** One a seed. */
  runs: RunResult[];
  /** The mean over its runs. */
  curve: MeanCurve;
}

/** What compare.json holds. */
export interface Comparison {
  /** The configuration with every default filled in. */
  config: CompareConfig;
  /** The versions of this package, of LibTorch and of Node. */
  versions: Readonly<Record<string, string>>;
  /** What the runs were timed on. */
  machine: {
    /** As the system names it. */
    processor: string;
    /** An operator ran on this many threads. */
    threads: number;
    /** `'cpu'`, `'cuda'` or `'cuda:N'`. */
    device: string;
  };
  /** Before any training. */
  pretrained: Baseline;
  /** Every learning rate that was tried; empty where each contender was given its own. */
  sweep: SweepEntry[];
  /** In the configuration's order. */
  contenders: ContenderResult[];
  /** The first contender over each of the others. */
  speedUps: SpeedUp[];
}
