import { ConfigError } from '../../errors.js';
import { publishedModel } from '../../models/registry.js';
import { expected } from '../../schema/validate.js';

/**
 * The path of the configuration that comes with the package for a published model.
 * @throws ConfigError for another name, and without one
 */
export function shippedPlan(like: string | undefined): string {
  if (like === undefined) throw new ConfigError(expected('plan', 'a configuration, or --like with a model', 'neither'));
  return publishedModel(like).configuration;
}
