import { ConfigError } from '../../errors.js';
import type { Flux2TransformerConfig } from '../../runtime/native/binding.js';
import { binding } from '../../runtime/native/index.js';
import { expected } from '../../schema/validate.js';
import { decoderDtype, defaultDecoder } from '../autoencoder-kl/precision.js';
import { withComponent } from '../component-weights.js';
import type { Drawing, ImageSize, LoadModelOptions, Model } from '../model.js';
import { adapterInfo, checkSides, checkTextLength, PipelineModel, sampleBatchOf } from '../pipeline/model.js';
import { textEmbeddingsDirectory } from '../text-embeddings.js';
import { readFlux2Directory, type Flux2Directory } from './directory.js';
import { schedulerTimes, timeShift } from './scheduler.js';
import { transformerNames } from './single-file-keys.js';
import { flux2Embeddings } from './text.js';

/**
 * The projections of the attention, in both kinds of blocks; a single-stream block's hold its feed-forward layers, too.
 * Its `attn.to_out` is named in full, as in diffusers' own training: the end of the name alone is also that of a list
 * of layers in the other blocks, which PEFT refuses to adapt.
 */
export const defaultTargets = ({ layers, singleLayers }: Flux2TransformerConfig): string[] => [
  ...(layers ? doubleTargets.map((name) => `attn.${name}`) : []),
  ...(singleLayers ? ['attn.to_qkv_mlp_proj'] : []),
  ...Array.from({ length: singleLayers }, (_, index) => `single_transformer_blocks.${index}.attn.to_out`),
];

const doubleTargets = ['to_q', 'to_k', 'to_v', 'to_out.0', 'add_q_proj', 'add_k_proj', 'add_v_proj', 'to_add_out'];

/** diffusers' own. */
export const defaultTextLength = 512;

/** Base models are drawn so, as diffusers does. */
export const flux2Drawing: Drawing = { steps: 50, solver: 'euler', guidance: 4 };

/** Distilled models are drawn so, as their cards recommend. */
export const distilledDrawing: Drawing = { steps: 4, solver: 'euler', guidance: 1 };

/** What a distilled model says where it is to be guided. */
export const whyUnguided = (source: string): string =>
  `${source} was distilled from guidance ("is_distilled" in model_index.json) and cannot be guided; draw and ` +
  'train it at guidance 1, or take a base model, such as FLUX.2-klein-base-4B';

/** Channels, height and width of an image's latents. @throws ConfigError for a size that the network cannot draw */
export function latentShapeOf({ granularity, transformer }: Flux2Directory, size: ImageSize): [number, number, number] {
  checkSides(size, granularity);
  return [transformer.config.inChannels, size.height / granularity, size.width / granularity];
}

/**
 * Loads FLUX.2 [klein] from a directory in diffusers' layout: autoencoder and transformer; the text encoder is loaded
 * when prompts come.
 * @throws ConfigError for a directory or options that are not supported, CheckpointError for weights that do not fit
 */
export async function loadFlux2Model(path: string, source: string, options: LoadModelOptions): Promise<Model> {
  const {
    device = 'cpu',
    dtype = 'float32',
    seed = 0n,
    checkpointing = false,
    textLength = defaultTextLength,
    decoder = defaultDecoder(device),
  } = options;
  if (options.textEncoders === 'sliced')
    throw new ConfigError(expected('textEncoders', '"whole": this text encoder is not sliced', '"sliced"'));
  const directory = await readFlux2Directory(path);
  const size = options.size ?? { width: directory.imageSize, height: directory.imageSize };
  const latentShape = latentShapeOf(directory, size);
  checkTextLength(textLength);
  const { autoencoder: vae, transformer, scheduler, distilled } = directory;
  const adapter = options.adapter && adapterInfo(options.adapter, defaultTargets(transformer.config));
  const halves = { ...vae.config, networks: { ...vae.config.networks, tf32: decoder === 'tf32' } };
  const autoencoder = await withComponent(vae.directory, (weights) =>
    binding().loadNetwork('flux2-autoencoder', { config: halves, weights, dtype: decoderDtype(decoder), device }),
  );
  try {
    const { directory: folder, config } = transformer;
    const lora = adapter && { ...adapter, targets: [...adapter.targets], seed, fold: options.adapter?.fold };
    const native = await withComponent(folder, (weights) =>
      binding().loadNetwork('flux2', { config, weights, autoencoder, lora, dtype, device, checkpointing }),
    );
    const cache = options.embeddingCache ?? textEmbeddingsDirectory();
    const tokens = latentShape[1] * latentShape[2];
    return new PipelineModel({
      name: 'flux2',
      title: 'FLUX.2',
      native,
      embeddings: flux2Embeddings(directory, { dtype, device, textLength }, cache),
      scheduler: {
        times: (steps) => schedulerTimes(scheduler, steps, tokens),
        timeShift: (steps) => timeShift(scheduler, steps, tokens),
      },
      source,
      device,
      dtype,
      decoder,
      adapter,
      latentShape,
      networks: [transformerNames],
      sampling: {
        ...(distilled ? distilledDrawing : flux2Drawing),
        batch: sampleBatchOf(size.width * size.height),
      },
      unguided: distilled ? whyUnguided(source) : undefined,
    });
  } catch (error) {
    autoencoder.dispose();
    throw error;
  }
}
