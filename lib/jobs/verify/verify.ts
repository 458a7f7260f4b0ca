import { z } from 'zod';

import { callback, checkOptions, checkText } from '../../schema/options.js';
import { modelVerifier } from '../../models/registry.js';
import type { ModelDType } from '../../models/model.js';
import { rewardVerifier } from '../../rewards/registry.js';
import { Goldens } from '../../models/verification/goldens.js';
import type { Finding } from '../../models/verification/finding.js';

/** Options of {@link verify}. */
export interface VerifyOptions {
  /** The name of a reward, for a directory that holds one; without it the directory is a model's. */
  reward?: string | undefined;
  /** The directory of the model whose features a reward reads, where that is another one. */
  tower?: string | undefined;
  /** It computes on this device: `'cpu'`, `'cuda'` or `'cuda:N'`; default `'cpu'`. */
  device?: string | undefined;
  /** Default float32, what goldens are computed in. */
  dtype?: ModelDType | undefined;
  /** The largest error that passes, divided by the golden's scale; default: by dtype, 1e-4 for float32. */
  tolerance?: number | undefined;
  /** Told what the user should know. */
  onNote?: ((message: string) => void) | undefined;
}

/** What rounding alone leaves of a deep network's output. */
export const tolerances: Readonly<Record<ModelDType, number>> = {
  float32: 1e-4,
  float64: 1e-4,
  float16: 0.02,
  bfloat16: 0.1,
};

/**
 * Compares what the native networks compute with the goldens of a directory, which the published implementation
 * computed.
 * @throws CheckpointError for a directory without goldens or one that does not load; ConfigError for one of a kind that
 * is not known
 */
export async function* verify(directory: string, options: VerifyOptions = {}): AsyncGenerator<Finding, void, void> {
  checkText(directory, 'directory', 'verify');
  const shape = {
    reward: z.string(),
    tower: z.string(),
    device: z.string(),
    dtype: z.enum(['float32', 'float64', 'bfloat16', 'float16']),
    tolerance: z.number().min(0),
    onNote: callback,
  };
  checkOptions(shape, options, 'verify options');
  const {
    reward,
    tower,
    device = 'cpu',
    dtype = 'float32',
    tolerance = tolerances[dtype],
    onNote = () => {},
  } = options;
  // What is not supported is said first: goldens for it would be made in vain.
  const verifier = reward === undefined ? await modelVerifier(directory) : rewardVerifier(reward);
  using goldens = await Goldens.open(directory, tolerance);
  const found = new Set<string>();
  for await (const finding of verifier(directory, goldens, { device, dtype, tolerance, tower, onNote })) {
    found.add(finding.name);
    yield finding;
  }
  for (const name of goldens.unseen) {
    if (!found.has(name)) yield { name, notChecked: 'nothing here computes such a golden' };
  }
}
