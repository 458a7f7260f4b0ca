import type { Measurement } from '../../training/measured-model.js';
import type { BelongsTo } from '../../training/belonging.js';
import type { Evaluations } from '../../training/metrics.js';

/** This is what training has cost so far. */
export interface Cost extends Evaluations {
  /** How many training steps are done. */
  step: number;
  /** How many network evaluations were computed: forwards, vector–Jacobian products and backwards. */
  evaluations: number;
  /** How many seconds training alone took; measuring it is left out. */
  seconds: number;
}

/** One measurement on a run's way, on the tracking set and with the averaged weights. */
export interface CurvePoint extends Cost {
  /** The mean reward over the tracking set. */
  reward: number;
  /** The mean of each reward of a combined one, unweighted. */
  rewards: Record<string, number>;
  /** The fraction of images, in [0, 1], in which the judge sees what the prompt asked for; left out without a judge. */
  accuracy?: number;
  /** The mean distance over all pairs of images, in the judge's features; left out without a judge. */
  diversity?: number;
  /** The mean reward of the training batches since the measurement before; left out before the first step. */
  batchReward?: number;
  /** The root mean square of v_θ − v_pre over that of v_pre, at renoised samples of the pretrained model. */
  drift: number;
}

/** This is what a run's directory keeps as result.json. */
export interface RunResult {
  /** The contender's name. */
  contender: string;
  /** The run's seed. */
  seed: number;
  /** AdamW's learning rate at its highest; left out where nothing is trained. */
  learningRate?: number;
  /** What decides the run beside `belongsTo`; a finished one is taken over only where it is the same. */
  settings: Readonly<Record<string, unknown>>;
  /** Fingerprints of what the run was made with, wherever it lay; with another a finished one is refused. */
  belongsTo: BelongsTo;
  /** What was measured on the way, from step 0 on. */
  points: CurvePoint[];
  /** Why the run ended before its last step, such as rewards that are not finite. */
  failure?: string;
  /** What was measured at the end, on the evaluation set; only of a whole run that is not the sweep's. */
  final?: Measurement;
}

/** What was measured on the pretrained model. */
export interface Baseline {
  /** What was measured on the set of the curves. */
  tracking: Measurement;
  /** What was measured on the set of the final figures. */
  evaluation: Measurement;
}

/** One learning rate of one contender, as the sweep found it. */
export interface SweepEntry {
  /** The contender's name. */
  contender: string;
  /** The learning rate that was tried. */
  learningRate: number;
  /** How many training steps the run had. */
  step: number;
  /** How many forwards, vector–Jacobian products and backwards the run took. */
  evaluations: number;
  /** The mean reward over the tracking set at the end of the run; left out of one that failed. */
  reward?: number;
  /** The judge's accuracy at the end of the run, in [0, 1]; left out without a judge. */
  accuracy?: number;
  /** The distance of the velocity from the pretrained one at the end of the run, as `drift` in a curve's points. */
  drift?: number;
  /** Why this rate cannot be taken. */
  rejected?: string;
  /** Whether the contender is run with this rate. */
  chosen: boolean;
}

/** What a curve's point tells of a measurement. */
export const measuresOf = ({ reward, rewards, accuracy, diversity }: Measurement) => ({
  reward: reward.mean,
  rewards: Object.fromEntries(Object.entries(rewards).map(([name, { mean }]) => [name, mean])),
  ...(accuracy !== undefined && { accuracy }),
  ...(diversity !== undefined && { diversity }),
});
