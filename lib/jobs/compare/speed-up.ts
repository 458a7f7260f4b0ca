import { costOf, firstReached, meanCurve, type Axis, type MeanCurve } from './curves.js';
import type { RunResult } from './results.js';
import { summarise, type Summary } from './statistics.js';

/** How many times the first contender's cost the other one needs for the same reward, on one axis. */
export interface AxisSpeedUp {
  /** What the first contender paid on its mean curve; left out where the mean never reached the level. */
  first?: number;
  /** What the other contender paid on its mean curve; left out where the mean never reached the level. */
  other?: number;
  /** The other one's cost over the first one's, on the mean curves. */
  ratio?: number;
  /**
   * The other one's cost over the first one's for each seed's pair of runs; left out where no pair reached the level.
   */
  pairs?: Summary;
}

/** What it cost to reach one reward. */
export interface SpeedUpLevel extends Record<Axis, AxisSpeedUp> {
  /** The cost in training steps. */
  steps: AxisSpeedUp;
  /** The cost in forwards, vector–Jacobian products and backwards. */
  evaluations: AxisSpeedUp;
  /** The cost in seconds of training. */
  seconds: AxisSpeedUp;
  /** The mean reward over the tracking set that was to be reached. */
  reward: number;
  /** Whether every run of both contenders reached this reward. */
  reachedByAll: boolean;
}

/** How the first contender compares with another one. */
export interface SpeedUp {
  /** The first contender's name. */
  first: string;
  /** The other contender's name. */
  other: string;
  /** The rewards to be reached, rising; those that only one mean reached are left out. */
  levels: SpeedUpLevel[];
  /** The highest reward that every run of both reached; left out where it is not above the pretrained model's. */
  headline?: SpeedUpLevel;
  /** The highest reward of either mean curve. */
  best: {
    /** The highest reward of the first contender's mean curve. */
    first: number;
    /** The highest reward of the other contender's mean curve. */
    other: number;
  };
}

/** Levels between the pretrained model's reward and the highest that both means reached. */
const levelCount = 8;

/**
 * Costs to equal reward, by linear interpolation between measurements.
 * @param first runs of one contender, all with at least the point of step 0
 * @param other runs of another; pairs share a seed
 */
export function speedUp(first: readonly RunResult[], other: readonly RunResult[]): SpeedUp {
  const curves = [meanCurve(first), meanCurve(other)] as const;
  const start = curves[0].measures['reward']!.mean[0]!;
  const best = curves.map((curve) => Math.max(...curve.measures['reward']!.mean)) as [number, number];
  const common = Math.min(...best);
  const everyone = Math.min(
    ...[...first, ...other].map(({ points }) => Math.max(...points.map(({ reward }) => reward))),
  );
  const rewards =
    common > start
      ? Array.from({ length: levelCount }, (_, at) => start + ((common - start) * (at + 1)) / levelCount)
      : [];
  const levelAt = (reward: number): SpeedUpLevel => {
    const on = (axis: Axis) => axisSpeedUp(first, other, curves, axis, reward);
    return {
      reward,
      reachedByAll: reward <= everyone,
      evaluations: on('evaluations'),
      seconds: on('seconds'),
      steps: on('steps'),
    };
  };
  return {
    first: first[0]!.contender,
    other: other[0]!.contender,
    levels: rewards.map(levelAt),
    ...(everyone > start && { headline: levelAt(everyone) }),
    best: { first: best[0], other: best[1] },
  };
}

function axisSpeedUp(
  first: readonly RunResult[],
  other: readonly RunResult[],
  curves: readonly [MeanCurve, MeanCurve],
  axis: Axis,
  level: number,
): AxisSpeedUp {
  const reached = ({ points }: RunResult) =>
    firstReached(
      points.map((point) => costOf(point, axis)),
      points.map(({ reward }) => reward),
      level,
    );
  const ratios = first.flatMap((run) => {
    const twin = other.find(({ seed }) => seed === run.seed);
    const costs = [reached(run), twin && reached(twin)];
    return costs[0] && costs[1] ? [costs[1] / costs[0]] : [];
  });
  const [a, b] = curves.map((curve) => firstReached(curve[axis], curve.measures['reward']!.mean, level));
  const pairs = summarise(ratios);
  return {
    ...(a !== undefined && { first: a }),
    ...(b !== undefined && { other: b }),
    ...(a && b && { ratio: b / a }),
    ...(pairs && { pairs }),
  };
}
