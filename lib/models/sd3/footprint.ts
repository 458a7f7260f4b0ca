import type { T5EncoderConfig } from '../../runtime/native/binding.js';
import { elementBytes, type FootprintOptions, type ModelFootprint } from '../footprint.js';
import { downsampling } from '../autoencoder-kl/config.js';
import { DecoderMemory } from '../autoencoder-kl/memory.js';
import { decoderOperations } from '../autoencoder-kl/operations.js';
import { decoderDtype, defaultDecoder } from '../autoencoder-kl/precision.js';
import { encoderBatch } from '../pipeline/embeddings.js';
import {
  encoderNetwork,
  promptsOf,
  publishedNetwork,
  residentNetwork,
  storedNetwork,
  type StoredNetwork,
} from '../pipeline/footprint.js';
import { sampleBatchOf } from '../pipeline/model.js';
import { wideType } from '../pipeline/prompt-encoding.js';
import { clipLength } from '../tokenizers/clip.js';
import { textEmbeddingsDirectory } from '../text-embeddings.js';
import { readSd3Directory, type Sd3Directory } from './directory.js';
import { TransformerMemory } from './memory.js';
import { defaultTargets, defaultTextLength, latentShapeOf } from './model.js';
import { transformerOperations } from './operations.js';
import { publishedSd3 } from './published.js';
import { sd3Embeddings } from './text.js';

/** What is known of a model beside its configuration. */
interface StoredFacts {
  transformer: StoredNetwork;
  autoencoder: StoredNetwork;
  clip: readonly [StoredNetwork, StoredNetwork];
  t5: StoredNetwork | undefined;
  /** Tokens that CLIP's tokenizers give a prompt. */
  clipLength: number;
  prompts: { count: number; missing: number };
}

/**
 * What a directory of Stable Diffusion 3 takes. How large its networks are, and which layers they have, the headers of
 * their weights tell, which are all that is read of them.
 * @throws ConfigError for a directory or options that are not supported, CheckpointError for weights that are missing
 * or cut short
 */
export async function sd3Footprint(path: string, options: FootprintOptions): Promise<ModelFootprint> {
  const directory = await readSd3Directory(path);
  const { transformer, autoencoder, clip, t5 } = directory;
  const { dtype, device, textLength = defaultTextLength } = options;
  const prompts = promptsOf(options);
  const embeddings = sd3Embeddings(directory, { dtype, device, textLength }, textEmbeddingsDirectory());
  return footprintOf(directory, options, {
    transformer: await storedNetwork(transformer.directory),
    autoencoder: await storedNetwork(autoencoder.directory),
    clip: [await storedNetwork(clip[0].directory), await storedNetwork(clip[1].directory)],
    t5: t5 && (await storedNetwork(t5.directory, isT5Tensor)),
    clipLength: await clipLength(clip[0].tokenizer),
    prompts: { count: prompts.length, missing: (await embeddings.missing(prompts)).length },
  });
}

/**
 * What a published model takes of which no file is there.
 * @throws ConfigError for options that are not supported
 */
export function publishedFootprint(name: string, options: FootprintOptions): ModelFootprint {
  const { directory, parameters, transformerLayers, dtype, clipLength } = publishedSd3(name);
  const network = (of: keyof typeof parameters) =>
    publishedNetwork(parameters[of], dtype, of === 'transformer' ? transformerLayers : []);
  const count = promptsOf(options).length;
  return footprintOf(directory, options, {
    transformer: network('transformer'),
    autoencoder: network('autoencoder'),
    clip: [network('clipL'), network('clipG')],
    t5: network('t5'),
    clipLength,
    prompts: { count, missing: count },
  });
}

/** T5's table of tokens is stored under one of two names, or under both: then once in memory. */
const isT5Tensor = (name: string, all: ReadonlySet<string>): boolean =>
  name !== 'encoder.embed_tokens.weight' || !all.has('shared.weight');

/** What is on the device at a time: the table of tokens and one of the blocks, which are alike. */
function slicedT5({ vocabulary, width, layers }: T5EncoderConfig, { parameters, ...stored }: StoredNetwork) {
  const tokens = vocabulary * width;
  return { ...stored, parameters: tokens + Math.ceil((parameters - tokens) / layers) };
}

function footprintOf(directory: Sd3Directory, options: FootprintOptions, stored: StoredFacts): ModelFootprint {
  const { device, dtype, adapter, size, checkpointing, textLength = defaultTextLength } = options;
  const { clipLength: length, prompts } = stored;
  const {
    transformer: { config },
    autoencoder,
    clip,
    t5,
  } = directory;
  const [channels, height, width] = latentShapeOf(
    directory,
    size ?? { width: directory.imageSize, height: directory.imageSize },
  ) as [number, number, number];
  const targets = adapter.targets ?? defaultTargets;
  const tokens = { image: (height * width) / config.patchSize ** 2, text: length + textLength };
  const bytes = elementBytes[dtype];
  const pixels = height * width * downsampling(autoencoder.config) ** 2;
  // The CPU normalises half types in float32, and keeps that copy of what it normalised.
  const normBytes = device === 'cpu' ? Math.max(bytes, elementBytes.float32) : bytes;
  const { layers } = stored.transformer;
  const network = new TransformerMemory(
    config,
    layers.adapted(targets),
    tokens,
    { network: bytes, norms: normBytes },
    checkpointing,
  );
  const { decoder: precision = defaultDecoder(device) } = options;
  const decoderType = decoderDtype(precision);
  const decoder = new DecoderMemory(autoencoder.config, height * width, elementBytes[decoderType]);
  const t5Type = wideType(dtype);
  return {
    // They were measured with the shape of Stable Diffusion 3.5 Medium.
    hasMeasuredRates: dtype === 'bfloat16' && config.layers === 24 && config.heads === 24,
    networks: [
      residentNetwork('transformer', stored.transformer, dtype, device),
      residentNetwork('autoencoder', stored.autoencoder, decoderType, device),
    ],
    prompts,
    encoders: [
      encoderNetwork('CLIP-L', stored.clip[0], dtype),
      encoderNetwork('CLIP-G', stored.clip[1], dtype),
      ...(t5 && stored.t5
        ? [encoderNetwork('T5', options.textEncoders === 'sliced' ? slicedT5(t5.config, stored.t5) : stored.t5, t5Type)]
        : []),
    ],
    trainable: layers.adapterParameters(targets, adapter.rank),
    folded: bytes * layers.adaptedParameters(targets),
    latent: channels * height * width,
    image: autoencoder.config.outChannels * pixels,
    conditioning: bytes * (tokens.text * config.jointAttentionDim + config.pooledProjectionDim),
    encode:
      Math.min(prompts.missing, encoderBatch) *
      Math.max(
        ...clip.map(({ config: { width: w, intermediate } }) => bytes * length * (8 * w + 2 * intermediate)),
        t5
          ? elementBytes[t5Type] *
              textLength *
              (4 * t5.config.width + 4 * t5.config.heads * t5.config.keyWidth + 3 * t5.config.intermediate)
          : 0,
      ),
    sampleBatch: sampleBatchOf(pixels),
    decoder: precision,
    operations: {
      trained: transformerOperations(config, layers, tokens, { ...adapter, targets }, checkpointing),
      pretrained: transformerOperations(config, layers, tokens, undefined, checkpointing),
      decoder: decoderOperations(autoencoder.config, height * width),
    },
    evaluate: (samples) => samples * network.evaluate(),
    train: (samples) => samples * network.train(true),
    vjp: (samples) => samples * network.train(false),
    decode: (samples) => samples * decoder.transient(),
    decodeGradient: (samples) => samples * (decoder.kept() + decoder.backward()),
  };
}
