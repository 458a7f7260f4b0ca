// Directories in the published layout of Stable Diffusion 3, of any sizes, with random weights.
import { writeRandomSd3 as write, type Sd3Sizes } from '../../benchmarks/random-sd3.mjs';
import * as autoencoder from '../../lib/models/autoencoder-kl/config.js';
import * as config from '../../lib/models/sd3/config.js';
import { buildHeader } from '../../lib/files/safetensors.js';
import { binding } from '../../lib/runtime/native/index.js';

export const writeRandomSd3 = (directory: string, model: Sd3Sizes, dtype: 'float32' | 'bfloat16' = 'float32'): void =>
  write(directory, model, { ...autoencoder, ...config, binding, buildHeader }, dtype);
