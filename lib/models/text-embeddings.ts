import { join } from 'node:path';

import { cacheDirectory } from '../runtime/native/libtorch.js';

/** The name of their folder in the cache. */
export const textEmbeddingsName = 'text-embeddings';

/**
 * Where models keep the embeddings of prompts if nobody says otherwise; undefined where there is no cache. What is
 * removed is computed again.
 */
export function textEmbeddingsDirectory(): string | undefined {
  const cache = cacheDirectory();
  return cache && join(cache, textEmbeddingsName);
}
