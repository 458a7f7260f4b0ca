import { ConfigError } from '../errors.js';
import type { FinetuneSettings } from './settings/finetune.js';

/** How strongly a fine-tuning guides what it draws beside its algorithm. */
export const guidancesOf = ({ samples, panel, evaluation }: FinetuneSettings): number[] => [
  samples.guidance,
  panel.guidance,
  ...(evaluation ? [evaluation.guidance] : []),
];

/** @param unguided why the model cannot be guided, if it cannot. @throws ConfigError where it is to be guided */
export function refuseGuidance(unguided: string | undefined, guidances: readonly number[]): void {
  if (unguided !== undefined && guidances.some((guidance) => guidance !== 1)) throw new ConfigError(unguided);
}
