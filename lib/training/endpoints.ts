import { join } from 'node:path';

import { originOf } from '../files/origin.js';
import { isIdentified, partsOf, rewardIdentity } from '../rewards/identity.js';
import { hasGradient } from '../rewards/reward.js';
import { cacheDirectory } from '../runtime/native/libtorch.js';
import type { StoredEndpoints } from './algorithm.js';
import { modelIdentity } from './belonging.js';
import { EndpointBuffer, type DrawingObserver, type EndpointBufferOptions } from './endpoint-buffer.js';
import { fingerprint } from './state.js';

/** The cache keeps endpoints in a folder of this name. */
export const endpointsName = 'endpoints';

/**
 * Gives the folder of endpoints of the pretrained model where nobody names another; undefined where there is no cache.
 * What is removed is drawn again.
 */
export function endpointsDirectory(): string | undefined {
  const cache = cacheDirectory();
  return cache && join(cache, endpointsName);
}

type Options = Omit<EndpointBufferOptions, 'lambda' | 'perPrompt' | 'identity' | 'gradient'> & {
  stored: StoredEndpoints;
  negativePrompt: string | undefined;
  observer: DrawingObserver;
};

/**
 * Opens the endpoints of a run, those that another run has drawn with the same model, prompts, rewards and settings if
 * they are there. Where a program made the model or a reward itself, nobody can tell whether another's is the same:
 * such endpoints serve this run alone.
 * @throws what {@link EndpointBuffer.open} throws
 */
export async function openEndpoints({
  stored,
  negativePrompt,
  observer,
  ...options
}: Options): Promise<EndpointBuffer> {
  const { model, reward, batch, seed } = options;
  const prompts = [...new Set(options.prompts)];
  const { lambda, perPrompt, steps, drawnWith } = stored;
  // The draws carry e^{λr} of the whole reward. A gradient of some of its parts would make the target that of these
  // parts alone (docs/beyond-the-paper.md, "Rewards without a gradient"), so it is all of them or none.
  const gradient = partsOf(reward).every(hasGradient);
  const identity = fingerprint([
    ...[await modelIdentity(model), model.dtype, model.latentShape, model.timeShift(steps)],
    ...[await rewardIdentity(reward), gradient],
    ...[prompts, negativePrompt ?? null, perPrompt, batch, String(seed), drawnWith],
  ]);
  const shared = (await originOf(model)) !== undefined && (await isIdentified(reward));
  const directory = shared ? options.directory : undefined;
  return EndpointBuffer.open({ ...options, prompts, lambda, perPrompt, directory, identity, gradient }, observer);
}
