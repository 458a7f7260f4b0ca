/** The config.json of each part, as far as it differs from the constructor's defaults. */
export interface Flux2Sizes {
  transformer: object;
  vae: object;
  text: object;
  scheduler?: object;
  distilled?: boolean;
  /** What benchmarks measure of it where nobody says. */
  measured?: { pixels: number; batch: number; textLength: number };
}

type Library = typeof import('../lib/models/flux2/config.js') &
  Pick<typeof import('../lib/runtime/native/index.js'), 'binding'> &
  Pick<typeof import('../lib/files/safetensors.js'), 'buildHeader'>;

export const sizes: Record<'full' | 'half' | 'tiny', Flux2Sizes>;
export function writeRandomFlux2(
  directory: string,
  model: Flux2Sizes,
  library: Library,
  dtype?: 'float32' | 'bfloat16',
): void;
