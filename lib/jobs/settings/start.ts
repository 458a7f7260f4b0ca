import type { z } from 'zod';

import { readAdapterConfig } from '../../models/adapter-files.js';
import { adapterDirectory } from '../run-directory.js';
import { adapterDefaults, type startedAdapter } from './model.js';

/**
 * Fills in what a configuration leaves out of its adapter: as that which it starts from, if any.
 * @throws CheckpointError where that cannot be read
 */
export async function withStart(adapter: NonNullable<z.output<typeof startedAdapter>>) {
  const { from, targets } = adapter;
  const isWhole = adapter.rank !== undefined && adapter.alpha !== undefined && targets !== undefined;
  // A record has all of it, and is read again after what the run started from may have been removed.
  const start = from === undefined || isWhole ? undefined : await startOf(from);
  const { rank = start?.rank ?? adapterDefaults.rank } = adapter;
  const { alpha = start ? (rank * start.alpha) / start.rank : adapterDefaults.alpha } = adapter;
  return {
    rank,
    alpha,
    targets: targets ?? (start && [...start.targets]),
    ...(adapter.fold !== undefined && { fold: adapter.fold }),
    ...(from !== undefined && { from: start?.path ?? from }),
  };
}

async function startOf(from: string) {
  const path = await adapterDirectory(from, () => {});
  return { path, ...(await readAdapterConfig(path)) };
}
