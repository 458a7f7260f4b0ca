// Directories in the published layout of Stable Diffusion 3, of any sizes, with random weights.
import { writeRandomSd3 as write, type Sd3Sizes } from '../../benchmarks/random-sd3.mjs';
import * as config from '../../lib/models/sd3/config.js';
import * as shapes from '../../lib/models/sd3/shapes.js';
import { buildHeader } from '../../lib/files/safetensors.js';

export const writeRandomSd3 = (directory: string, model: Sd3Sizes, dtype: 'float32' | 'bfloat16' = 'float32'): void =>
  write(directory, model, { ...config, ...shapes, buildHeader }, dtype);
