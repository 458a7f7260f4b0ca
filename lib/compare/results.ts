import type { Measurement } from '../evaluation.js';
import type { Evaluations } from '../trainer.js';

/** What training has cost so far. */
export interface Cost extends Evaluations {
  step: number;
  /** forwards + vjps + backwards. */
  evaluations: number;
  /** Of training alone, not of measuring it. */
  seconds: number;
}

/** One measurement on a run's way, on the tracking set and with the averaged weights. */
export interface CurvePoint extends Cost {
  reward: number;
  /** Each reward of a combined one, unweighted. */
  rewards: Record<string, number>;
  accuracy?: number;
  /** Mean reward of the training batches since the measurement before; none before the first step. */
  batchReward?: number;
  /** See DriftProbe. */
  drift: number;
}

/** What a run's directory keeps as result.json. */
export interface RunResult {
  contender: string;
  seed: number;
  learningRate: number;
  /** Everything that decides the run; a finished one is taken over only where it is the same. */
  settings: Readonly<Record<string, unknown>>;
  /** From step 0 on. */
  points: CurvePoint[];
  /** Why the run ended before its last step, such as rewards that are not finite. */
  failure?: string;
  /** On the evaluation set; only of a whole run that is not the sweep's. */
  final?: Measurement;
}

/** The pretrained model on both sets. */
export interface Baseline {
  tracking: Measurement;
  evaluation: Measurement;
}

/** One learning rate of one contender. */
export interface SweepEntry {
  contender: string;
  learningRate: number;
  step: number;
  evaluations: number;
  /** On the tracking set at the end of the run; none for one that failed. */
  reward?: number;
  accuracy?: number;
  drift?: number;
  /** Why it cannot be taken. */
  rejected?: string;
  chosen: boolean;
}
