import { stat } from 'node:fs/promises';
import { dirname, resolve } from 'node:path';

import { ConfigError } from '../errors.js';

/**
 * Checks where a result is to be written before the work that leads to it.
 * @param hint what else to do
 * @throws ConfigError where something of the other kind is, or a file stands in the way
 */
export async function checkOutput(
  path: string,
  wanted: 'file' | 'directory',
  hint = 'name another path, or remove it',
): Promise<void> {
  const own = resolve(path);
  for (let place = own; ; place = dirname(place)) {
    // Below a file nothing is found either.
    const found = await stat(place).catch(() => undefined);
    if (!found && place !== dirname(place)) continue;
    const needed = place === own ? wanted : 'directory';
    if (!found || found.isDirectory() === (needed === 'directory')) return;
    if (place !== own)
      throw new ConfigError(`${path} cannot be written: ${place} is a file, not a directory; name another path`);
    throw new ConfigError(
      `${path} is a ${wanted === 'file' ? 'directory' : 'file'}, and a ${wanted} is to be written there: ${hint}`,
    );
  }
}
