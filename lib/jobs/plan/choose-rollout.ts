import type { ModelFootprint } from '../../models/footprint.js';
import type { FinetuneSettings } from '../settings/finetune.js';
import { bytesText } from '../text.js';
import { phasesOf } from './phases.js';
import { allRows, folds, rolloutRows, type RolloutPlan } from './rollout.js';

/** What of a device's free memory rollouts and drawing are planned to take at most, where they could do with less. */
const share = 0.9;

/**
 * Completes what a configuration leaves out of its rollout, for a GPU with so much free memory: copies to fold the
 * adapter into where there is room for them, then as many rows an evaluation as there is room for, in equal parts.
 * @param free bytes; undefined on a CPU, whose products gain nothing by it, and where nobody knows: then the rollout
 *   takes as many rows as matching, and the copies
 * @param rewards bytes of the rewards' weights
 * @param neededFor bytes that the device must have free for what a phase takes
 */
export function chooseRollout(
  config: FinetuneSettings,
  model: ModelFootprint,
  rewards: number,
  free: number | undefined,
  neededFor: (bytes: number) => number,
): { settings: FinetuneSettings; rollout: RolloutPlan } {
  const { algorithm, adapter, batch } = config;
  if (free === undefined || !adapter || (algorithm.rolloutBatch !== undefined && adapter.fold !== undefined))
    return { settings: config, rollout: { rows: rolloutRows(algorithm, batch), folded: folds(config) } };
  const fits = (settings: FinetuneSettings, ...phases: string[]) =>
    phasesOf(settings, model, rewards)
      .filter(({ name }) => phases.includes(name))
      .every(({ bytes }) => neededFor(bytes) <= share * free);
  const withFold = (fold: boolean): FinetuneSettings => ({ ...config, adapter: { ...adapter, fold } });
  const withRows = (settings: FinetuneSettings, rolloutBatch: number): FinetuneSettings => ({
    ...settings,
    algorithm: { ...algorithm, rolloutBatch },
  });
  let settings = withFold(adapter.fold ?? fits(withFold(true), 'drawing samples', 'rolling out'));
  if (algorithm.rolloutBatch === undefined) {
    const least = rolloutRows(algorithm, batch);
    const all = allRows(algorithm, batch);
    const most = Array.from({ length: all }, (_, index) => Math.ceil(all / (index + 1))).find(
      (rows) => rows <= least || fits(withRows(settings, rows), 'rolling out'),
    )!;
    settings = withRows(settings, Math.max(most, least));
  }
  return {
    settings,
    rollout: { rows: rolloutRows(settings.algorithm, batch), folded: folds(settings), chosenFor: free },
  };
}

/** How a rollout is computed, in a line. */
export const rolloutText = ({ rows, folded, chosenFor }: RolloutPlan): string =>
  `rollout: at most ${rows} rows a network evaluation, ${folded ? 'the adapter folded in' : 'the adapter not folded'}` +
  (chosenFor === undefined ? '' : ` (of ${bytesText(chosenFor)} that are free)`);
