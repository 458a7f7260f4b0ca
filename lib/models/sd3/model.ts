import { expected } from '../../schema/validate.js';
import { ConfigError } from '../../errors.js';
import type { NativeAutoencoder } from '../../runtime/native/binding.js';
import { binding } from '../../runtime/native/index.js';
import { decoderDtype, defaultDecoder } from '../autoencoder-kl/precision.js';
import type { DecoderPrecision, Drawing, ImageSize, LoadModelOptions, Model } from '../model.js';
import { withComponent } from '../component-weights.js';
import { adapterInfo, checkSides, checkTextLength, PipelineModel, sampleBatchOf } from '../pipeline/model.js';
import { textEmbeddingsDirectory } from '../text-embeddings.js';
import { readSd3Directory, type Sd3Directory } from './directory.js';
import { schedulerTimes } from './scheduler.js';
import { transformerNames } from './single-file-keys.js';
import { sd3Embeddings } from './text.js';

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

/** Channels, height and width of an image's latents. @throws ConfigError for a size that the network cannot draw */
export function latentShapeOf(
  { granularity, transformer: { config }, path }: Sd3Directory,
  { width, height }: ImageSize,
): number[] {
  checkSides({ width, height }, granularity);
  const limit = config.posEmbedMaxSize * granularity;
  for (const [name, pixels] of Object.entries({ width, height })) {
    if (pixels > limit)
      throw new ConfigError(
        expected(`image ${name}`, `at most ${limit} pixels, for which ${path} has positions`, pixels),
      );
  }
  const scale = granularity / config.patchSize;
  return [config.inChannels, height / scale, width / scale];
}

async function loadSd3Autoencoder(
  { autoencoder }: Sd3Directory,
  decoder: DecoderPrecision,
  device: string,
): Promise<NativeAutoencoder> {
  const config = { ...autoencoder.config, tf32: decoder === 'tf32' };
  return withComponent(autoencoder.directory, (weights) =>
    binding().loadNetwork('autoencoder-kl', { config, weights, dtype: decoderDtype(decoder), device }),
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
    decoder = defaultDecoder(device),
    textEncoders,
  } = options;
  const directory = await readSd3Directory(path);
  const size = options.size ?? { width: directory.imageSize, height: directory.imageSize };
  const latentShape = latentShapeOf(directory, size);
  checkTextLength(textLength);
  const adapter = options.adapter && adapterInfo(options.adapter, defaultTargets);
  const autoencoder = await loadSd3Autoencoder(directory, decoder, device);
  try {
    const { directory: folder, config } = directory.transformer;
    const lora = adapter && { ...adapter, targets: [...adapter.targets], seed, fold: options.adapter?.fold };
    const native = await withComponent(folder, (weights) =>
      binding().loadNetwork('sd3', { config, weights, autoencoder, lora, dtype, device, checkpointing }),
    );
    const cache = options.embeddingCache ?? textEmbeddingsDirectory();
    const { scheduler } = directory;
    return new PipelineModel({
      name: 'stable-diffusion-3',
      title: 'Stable Diffusion 3',
      native,
      embeddings: sd3Embeddings(directory, { dtype, device, textLength, sliced: textEncoders === 'sliced' }, cache),
      scheduler: { times: (steps) => schedulerTimes(scheduler, steps), timeShift: () => scheduler.shift },
      source,
      device,
      dtype,
      decoder,
      adapter,
      latentShape,
      networks: [transformerNames],
      sampling: { ...sd3Drawing, batch: sampleBatchOf(size.width * size.height) },
    });
  } catch (error) {
    autoencoder.dispose();
    throw error;
  }
}
