import { join } from 'node:path';

import { cacheDirectory } from '../runtime/native/libtorch.js';

/** Where models keep the embeddings of prompts if nobody says otherwise. What is removed is computed again. */
export const textEmbeddingsDirectory = (): string => join(cacheDirectory(), 'text-embeddings');
