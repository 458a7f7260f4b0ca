import { existsSync } from 'node:fs';
import { join, resolve } from 'node:path';

import { ConfigError } from '../errors.js';
import type { Verifier } from '../models/verification/verification.js';
import { aesthetic } from './published/aesthetic.js';
import { clipScore } from './published/clip-score.js';
import { hpsv2 } from './published/hps.js';
import { imageReward } from './published/image-reward.js';
import { pickScore } from './published/pick-score.js';
import { verifierOf } from './published/verifier.js';

/** From a reward's name to what checks a directory of it against its goldens. A reward that can be verified is one entry. */
const verifiers: Readonly<Record<string, Verifier>> = {
  pickscore: verifierOf(pickScore),
  hpsv2: verifierOf(hpsv2),
  imagereward: verifierOf(imageReward),
  clipscore: verifierOf(clipScore),
  aesthetic: verifierOf((directory, options) =>
    aesthetic(directory, { ...options, tower: options.tower ?? towerOf(directory) }),
  ),
};

/** @throws ConfigError for a reward without one */
export function rewardVerifier(name: string): Verifier {
  const verifier = Object.hasOwn(verifiers, name) ? verifiers[name] : undefined;
  if (verifier) return verifier;
  throw new ConfigError(`no reward "${name}" can be verified; those that can be: ${Object.keys(verifiers).join(', ')}`);
}

/** Where the head lies alone, the tower is looked for in the reward whose tower it shares, beside it. */
function towerOf(directory: string): string | undefined {
  const beside = join(resolve(directory), '..', 'clipscore');
  return existsSync(join(directory, 'config.json')) || !existsSync(beside) ? undefined : beside;
}
