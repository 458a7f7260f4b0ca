import { ConfigError } from '../errors.js';
import type { Verifier } from '../verify/verification.js';

/** From a reward's name to what checks a directory of it against its goldens. A reward that can be verified is one entry. */
const verifiers: Readonly<Record<string, Verifier>> = {};

/** @throws ConfigError for a reward without one */
export function rewardVerifier(name: string): Verifier {
  const verifier = Object.hasOwn(verifiers, name) ? verifiers[name] : undefined;
  if (verifier) return verifier;
  const known = Object.keys(verifiers);
  throw new ConfigError(`no reward "${name}" can be verified; ${known.length ? `those that can be: ${known.join(', ')}` : 'none can be'}`);
}
