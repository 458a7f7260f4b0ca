import type { AlgorithmSettings } from '../../training/algorithms.js';
import type { FinetuneSettings } from '../settings/finetune.js';

/** How a rollout, which needs no gradients, is computed. */
export interface RolloutPlan {
  /** A network evaluation takes at most this many rows, of which a guided sample has two. */
  rows: number;
  /** It says whether the adapter is folded into copies of the adapted layers' weights. */
  folded: boolean;
  /** Bytes of free memory that both were chosen for, as far as the configuration leaves them out. */
  chosenFor?: number | undefined;
}

/** The rows of all samples: a guided one has two. */
export const allRows = ({ guidance }: AlgorithmSettings, batch: number): number => batch * (guidance === 1 ? 1 : 2);

/** The most rows that an evaluation of the rollout takes. */
export function rolloutRows(algorithm: AlgorithmSettings, batch: number): number {
  const all = allRows(algorithm, batch);
  const { microBatch, rolloutBatch = microBatch } = algorithm;
  return Math.min(rolloutBatch || all, all);
}

/** Tells whether the adapter is folded while the model that is trained draws. */
export const folds = ({ adapter }: Pick<FinetuneSettings, 'adapter'>): boolean => adapter?.fold ?? true;
