import { expected } from '../../schema/validate.js';
import { ConfigError, DisposedError } from '../../errors.js';
import type { NativeAutoencoder, NativeFlowModel } from '../../runtime/native/binding.js';
import { binding } from '../../runtime/native/index.js';
import type { Tensor } from '../../runtime/native/tensor.js';
import { loadAdapterOf, saveAdapterOf } from '../adapters/adapter.js';
import type {
  AdapterInfo,
  Drawing,
  ImageSize,
  LoadModelOptions,
  Model,
  ModelDType,
  PrepareOptions,
  SamplingDefaults,
} from '../model.js';
import { withComponent } from '../component-weights.js';
import { textEmbeddingsDirectory } from '../text-embeddings.js';
import { readSd3Directory, type Sd3Directory } from './directory.js';
import { Embeddings } from './embeddings.js';
import { schedulerTimes } from './scheduler.js';
import { transformerNames } from './single-file-keys.js';

/** The projections of the joint attention: what the published fine-tunings adapt. */
export const defaultTargets = [
  'attn.to_q',
  'attn.to_k',
  'attn.to_v',
  'attn.to_out.0',
  'attn.add_q_proj',
  'attn.add_k_proj',
  'attn.add_v_proj',
  'attn.to_add_out',
];

/** diffusers' own, of T5's tokens a prompt. */
export const defaultTextLength = 256;

/** Steps and solver are those of diffusers' pipeline; the guidance is what the card of 3.5 Medium recommends. */
export const sd3Drawing: Drawing = { steps: 28, solver: 'euler', guidance: 4.5 };

/** Pixels that are sampled at a time where nobody says: two images of 1024 × 1024. */
const sampledPixels = 2 ** 21;

/** Stable Diffusion 3 and 3.5 (arXiv 2403.03206), from a directory in diffusers' layout. */
class Sd3Model implements Model {
  readonly name = 'stable-diffusion-3';
  readonly timeShift: number;
  readonly latentShape: readonly number[];
  readonly sampling: SamplingDefaults;
  #native: NativeFlowModel | undefined;

  constructor(
    native: NativeFlowModel,
    private readonly directory: Sd3Directory,
    private readonly embeddings: Embeddings,
    size: ImageSize,
    readonly source: string,
    readonly device: string,
    readonly dtype: ModelDType,
    readonly adapter: AdapterInfo | undefined,
  ) {
    this.#native = native;
    this.timeShift = directory.scheduler.shift;
    this.latentShape = latentShapeOf(directory, size);
    this.sampling = { ...sd3Drawing, batch: sampleBatchOf(size.width * size.height) };
  }

  get native(): NativeFlowModel {
    if (!this.#native) throw new DisposedError('the Stable Diffusion 3 model was used after dispose()');
    return this.#native;
  }

  times(steps: number): number[] {
    return schedulerTimes(this.directory.scheduler, steps);
  }

  async prepare(prompts: readonly string[], options: PrepareOptions = {}): Promise<void> {
    await this.embeddings.prepare(prompts, { ...options, negativePrompt: options.negativePrompt ?? '' });
  }

  /** [B, L, D] of the text encoders' states and [B, P] of CLIP's features. */
  async encode(prompts: readonly string[]): Promise<Tensor[]> {
    return this.embeddings.rows(prompts);
  }

  async unconditional(count: number, negativePrompt = ''): Promise<Tensor[]> {
    return this.embeddings.rows(Array<string>(count).fill(negativePrompt));
  }

  loadAdapter(directory: string): Promise<void> {
    return loadAdapterOf(this, directory, [transformerNames]);
  }

  saveAdapter(directory: string, tensors?: Readonly<Record<string, Tensor>>): Promise<void> {
    return saveAdapterOf(this, directory, tensors);
  }

  dispose(): void {
    this.#native = undefined;
  }

  [Symbol.dispose](): void {
    this.dispose();
  }
}

/** Images of this many pixels that are drawn at a time. */
export const sampleBatchOf = (pixels: number): number => Math.min(128, Math.max(1, Math.floor(sampledPixels / pixels)));

/** Channels, height and width of an image's latents. @throws ConfigError for a size that the network cannot draw */
export function latentShapeOf(
  { granularity, transformer: { config }, path }: Sd3Directory,
  { width, height }: ImageSize,
): number[] {
  const limit = config.posEmbedMaxSize * granularity;
  for (const [name, pixels] of [
    ['width', width],
    ['height', height],
  ] as const) {
    if (!Number.isSafeInteger(pixels) || pixels < granularity || pixels % granularity) {
      const near = Math.max(granularity, Math.round(pixels / granularity) * granularity);
      throw new ConfigError(expected(`image ${name}`, `a multiple of ${granularity} pixels, such as ${near}`, pixels));
    }
    if (pixels > limit)
      throw new ConfigError(
        expected(`image ${name}`, `at most ${limit} pixels, for which ${path} has positions`, pixels),
      );
  }
  const scale = granularity / config.patchSize;
  return [config.inChannels, height / scale, width / scale];
}

/** The directory's autoencoder, in float32: images are decoded once a sample, and rounded for no other reason. */
async function loadSd3Autoencoder(
  { autoencoder: { directory, config } }: Sd3Directory,
  device: string,
): Promise<NativeAutoencoder> {
  return withComponent(directory, (weights) =>
    binding().loadNetwork('autoencoder-kl', { config, weights, dtype: 'float32', device }),
  );
}

/**
 * Loads autoencoder and transformer; the text encoders are loaded when prompts come.
 * @throws ConfigError for a directory or options that are not supported, CheckpointError for weights that do not fit
 */
export async function loadSd3Model(path: string, source: string, options: LoadModelOptions): Promise<Model> {
  const {
    device = 'cpu',
    dtype = 'float32',
    seed = 0n,
    checkpointing = false,
    textLength = defaultTextLength,
  } = options;
  const directory = await readSd3Directory(path);
  const size = options.size ?? { width: directory.imageSize, height: directory.imageSize };
  latentShapeOf(directory, size);
  if (!Number.isSafeInteger(textLength) || textLength < 1)
    throw new ConfigError(expected('textLength', 'a whole number from 1', textLength));
  const adapter = options.adapter && { ...options.adapter, targets: options.adapter.targets ?? defaultTargets };
  const autoencoder = await loadSd3Autoencoder(directory, device);
  try {
    const { directory: folder, config } = directory.transformer;
    const lora = adapter && { rank: adapter.rank, alpha: adapter.alpha, targets: [...adapter.targets], seed };
    const native = await withComponent(folder, (weights) =>
      binding().loadNetwork('sd3', { config, weights, autoencoder, lora, dtype, device, checkpointing }),
    );
    const cache = options.embeddingCache ?? textEmbeddingsDirectory();
    const embeddings = new Embeddings(directory, { dtype, device, textLength }, cache);
    return new Sd3Model(native, directory, embeddings, size, source, device, dtype, adapter);
  } catch (error) {
    autoencoder.dispose();
    throw error;
  }
}
