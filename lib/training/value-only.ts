import { ConfigError } from '../errors.js';
import { partsOf } from '../rewards/identity.js';
import { hasGradient, type Reward } from '../rewards/reward.js';
import type { Algorithm } from './algorithm.js';

/**
 * Refuses a reward, or a part of one, that has values alone where the algorithm follows gradients alone.
 * @throws ConfigError that names the rewards and says what to set
 */
export function refuseValueOnly(reward: Reward, { needsGradient, name }: Algorithm): void {
  if (!needsGradient) return;
  const without = partsOf(reward).filter((part) => !hasGradient(part));
  if (without.length === 0) return;
  const names = without.map((part) => `"${part.name}"`).join(' and ');
  throw new ConfigError(
    `rewards: ${names} ${without.length > 1 ? 'have' : 'has'} values alone, and ${name} as it is set follows the ` +
      'gradient; train with eam and algorithm.modes=true, which corrects itself at any λ, or with ' +
      'algorithm.endpoints=pretrained, which costs less where λ is moderate',
  );
}
