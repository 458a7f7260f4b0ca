import { spreadOf, type Spread } from '../../training/statistics.js';
import type { Evaluations } from '../../training/metrics.js';
import type { Problem } from './problem.js';
import type { FidelitySettings } from './settings.js';
import type { FidelityMeasurement, QuickMeasurement } from './yardstick.js';

/** The cost of training alone, up to a step. */
export interface TrainingCost extends Evaluations {
  /** On the wall. */
  seconds: number;
}

/** A point of a learning curve. */
export interface CurvePoint extends QuickMeasurement, TrainingCost {
  /** Training steps so far. */
  step: number;
}

/** One seed's run: the fine-tuned model after the last step, and the way there. */
export interface FidelityRun extends FidelityMeasurement, TrainingCost {
  /** The seed that training had. */
  seed: number;
  /** From step 0 to the last. */
  curve: CurvePoint[];
}

/** One seed's flow matching on exact samples. */
export interface OracleRun extends FidelityMeasurement, TrainingCost {
  /** The seed that training had. */
  seed: number;
}

/** Mean and standard deviation over the seeds of every figure. */
export type FidelitySummary = {
  [Figure in Exclude<keyof FidelityMeasurement | keyof TrainingCost, 'modeWeights' | 'rewardError'>]: Spread;
} & {
  /** One for each mode of the target. */
  modeWeights: Spread[];
};

/** What {@link fidelity} returns. */
export interface FidelityResult {
  /** As given, with what it left out filled in. */
  problem: Problem;
  /** The settings, with what they left out filled in. */
  settings: FidelitySettings;
  /** In closed form; `target` is the tilted mixture itself. */
  exact: {
    /** E[r] under the target p*(x) ∝ p_pre(x) e^{λ r(x)}. */
    reward: number;
    /** The weights of the target's modes; they sum to 1. */
    modeWeights: readonly number[];
    /** E[r] under the data, before any tilt. */
    pretrainedReward: number;
    /** The target's modes, each a Gaussian with a diagonal covariance. */
    target: {
      /** One a mode, each with the problem's dimensions. */
      means: readonly (readonly number[])[];
      /** The diagonals, in the same layout. */
      variances: readonly (readonly number[])[];
    };
  };
  /** Samples of the model before training. */
  pretrained: FidelityMeasurement;
  /** A second set of exact samples: what a perfect model would read. */
  floor: FidelityMeasurement;
  /** One a seed. */
  runs: FidelityRun[];
  /** Over the runs. */
  summary: FidelitySummary;
  /**
   * What this network, optimizer and number of steps can reach: flow matching on exact samples of the target, once a
   * seed, measured with the same noise as that seed's run. Left out where `settings.oracle` is false.
   */
  oracle?: {
    /** One a seed. */
    runs: OracleRun[];
    /** Over the runs. */
    summary: FidelitySummary;
  };
}

/** Mean and standard deviation of every figure. */
export function summarise(runs: readonly OracleRun[]): FidelitySummary {
  const figure = (read: (run: OracleRun) => number): Spread => spreadOf(runs.map(read));
  return {
    reward: figure((run) => run.reward),
    modeWeights: runs[0]!.modeWeights.map((_, mode) => figure((run) => run.modeWeights[mode]!)),
    totalVariation: figure((run) => run.totalVariation),
    mmdSquared: figure((run) => run.mmdSquared),
    slicedWasserstein: figure((run) => run.slicedWasserstein),
    kl: figure((run) => run.kl),
    forwards: figure((run) => run.forwards),
    vjps: figure((run) => run.vjps),
    backwards: figure((run) => run.backwards),
    seconds: figure((run) => run.seconds),
  };
}
