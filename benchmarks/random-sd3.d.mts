/** The config.json of each part; no `t5`: a pipeline without a third text encoder. */
export interface Sd3Sizes {
  transformer: object;
  vae: object;
  clipL: object;
  clipG: object;
  t5?: object;
  scheduler?: object;
  /** What benchmarks measure of it where nobody says. */
  measured?: { pixels: number; batch: number; textLength: number };
}

type Library = typeof import('../lib/models/sd3/config.js') &
  typeof import('../lib/models/autoencoder-kl/config.js') &
  Pick<typeof import('../lib/runtime/native/index.js'), 'binding'> &
  Pick<typeof import('../lib/files/safetensors.js'), 'buildHeader'>;

export const sizes: Record<'full' | 'half' | 'tiny', Sd3Sizes>;
export function writeRandomSd3(
  directory: string,
  model: Sd3Sizes,
  library: Library,
  dtype?: 'float32' | 'bfloat16',
): void;
