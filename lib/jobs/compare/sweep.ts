import { EamError } from '../../errors.js';
import { percent } from '../figures.js';
import type { RunResult, SweepEntry } from './results.js';

export interface SweepLimits {
  /** The judge's accuracy of the pretrained model on the tracking set, where there is a judge. */
  accuracy?: number | undefined;
  /** How much of it may be lost. */
  accuracyLoss: number;
}

/**
 * One contender's runs at several rates as a table, with the best of those that can be taken marked: the one with the
 * highest reward at its end; of equals, the first.
 * @throws EamError with code ERR_EAM_SWEEP if none can
 */
export function chooseRate(runs: readonly RunResult[], limits: SweepLimits): SweepEntry[] {
  const entries = runs.map((run): SweepEntry => {
    const { step, evaluations, reward, accuracy, drift } = run.points.at(-1)!;
    const rejected = reasonAgainst(run, limits);
    return {
      contender: run.contender,
      learningRate: run.learningRate!,
      step,
      evaluations,
      ...(run.failure === undefined && { reward, ...(accuracy !== undefined && { accuracy }), drift }),
      ...(rejected !== undefined && { rejected }),
      chosen: false,
    };
  });
  const best = entries
    .filter(({ rejected }) => rejected === undefined)
    .reduce<SweepEntry | undefined>((best, entry) => (best && best.reward! >= entry.reward! ? best : entry), undefined);
  if (!best) {
    const reasons = entries.map(({ learningRate, rejected }) => `\n  ${learningRate}: ${rejected}`).join('');
    throw new EamError(
      'ERR_EAM_SWEEP',
      `no learning rate of the sweep suits "${runs[0]!.contender}"; try smaller ones in sweep.learningRates:${reasons}`,
    );
  }
  best.chosen = true;
  return entries;
}

function reasonAgainst({ failure, points }: RunResult, { accuracy, accuracyLoss }: SweepLimits): string | undefined {
  if (failure !== undefined) return failure;
  const last = points.at(-1)!;
  if (!Number.isFinite(last.reward)) return 'the reward is not finite';
  if (accuracy !== undefined && last.accuracy !== undefined && accuracy - last.accuracy > accuracyLoss) {
    return `the judge recognises ${percent(last.accuracy)}, ${percent(accuracy)} before`;
  }
  return undefined;
}

/** Whether the rate that was taken is the smallest or the largest tried, so that a better one may lie beyond. */
export function atEdge(entries: readonly SweepEntry[]): 'smallest' | 'largest' | undefined {
  const rates = entries.map(({ learningRate }) => learningRate);
  const chosen = entries.find((entry) => entry.chosen)!.learningRate;
  if (rates.length < 2) return undefined;
  if (chosen === Math.min(...rates)) return 'smallest';
  return chosen === Math.max(...rates) ? 'largest' : undefined;
}
