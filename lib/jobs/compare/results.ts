import type { Measurement } from '../../training/evaluation.js';
import type { BelongsTo } from '../../training/belonging.js';
import type { Evaluations } from '../../training/metrics.js';

/** What training has cost so far. */
export interface Cost extends Evaluations {
  /** Training steps so far. */
  step: number;
  /** forwards + vjps + backwards. */
  evaluations: number;
  /** Training alone took this long; measuring it is left out. */
  seconds: number;
}

/** One measurement on a run's way, on the tracking set and with the averaged weights. */
export interface CurvePoint extends Cost {
  /** Mean over the tracking set. */
  reward: number;
  /** Each reward of a combined one, unweighted. */
  rewards: Record<string, number>;
  /** Fraction of images in which the judge sees what the prompt asked for; where there is a judge. */
  accuracy?: number;
  /** Mean reward of the training batches since the measurement before; none before the first step. */
  batchReward?: number;
  /** Root mean square of v_θ − v_pre over that of v_pre, at renoised samples of the pretrained model. */
  drift: number;
}

/** What a run's directory keeps as result.json. */
export interface RunResult {
  /** Its name. */
  contender: string;
  /** The run's seed. */
  seed: number;
  /** AdamW's learning rate at its highest. */
  learningRate: number;
  /** What decides the run beside `belongsTo`; a finished one is taken over only where it is the same. */
  settings: Readonly<Record<string, unknown>>;
  /** Fingerprints of what the run was made with, wherever it lay; with another a finished one is refused. */
  belongsTo: BelongsTo;
  /** From step 0 on. */
  points: CurvePoint[];
  /** Why the run ended before its last step, such as rewards that are not finite. */
  failure?: string;
  /** On the evaluation set; only of a whole run that is not the sweep's. */
  final?: Measurement;
}

/** The pretrained model on both sets. */
export interface Baseline {
  /** On the set of the curves. */
  tracking: Measurement;
  /** On the set of the final figures. */
  evaluation: Measurement;
}

/** One learning rate of one contender. */
export interface SweepEntry {
  /** Its name. */
  contender: string;
  /** The rate that was tried. */
  learningRate: number;
  /** Training steps of the run. */
  step: number;
  /** Forwards, vector–Jacobian products and backwards of the run. */
  evaluations: number;
  /** On the tracking set at the end of the run; none for one that failed. */
  reward?: number;
  /** The judge's, at the end of the run; where there is a judge. */
  accuracy?: number;
  /** The distance of the velocity from the pretrained one at the end of the run, as `drift` in a curve's points. */
  drift?: number;
  /** Why it cannot be taken. */
  rejected?: string;
  /** Whether the contender is run with it. */
  chosen: boolean;
}
