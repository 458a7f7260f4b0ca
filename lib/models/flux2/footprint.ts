import { elementBytes, type FootprintOptions, type ModelFootprint } from '../footprint.js';
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
import { textEmbeddingsDirectory } from '../text-embeddings.js';
import { readFlux2Directory, type Flux2Directory } from './directory.js';
import { TransformerMemory } from './memory.js';
import { defaultTargets, defaultTextLength, latentShapeOf } from './model.js';
import { transformerOperations } from './operations.js';
import { publishedFlux2 } from './published.js';
import { flux2Embeddings } from './text.js';

/** What is known of a model beside its configuration. */
interface StoredFacts {
  transformer: StoredNetwork;
  autoencoder: StoredNetwork;
  text: StoredNetwork;
  prompts: { count: number; missing: number };
}

/**
 * What a directory of FLUX.2 [klein] takes. How large its networks are, and which layers they have, the headers of
 * their weights tell, which are all that is read of them.
 * @throws ConfigError for a directory or options that are not supported, CheckpointError for weights that are missing
 * or cut short
 */
export async function flux2Footprint(path: string, options: FootprintOptions): Promise<ModelFootprint> {
  const directory = await readFlux2Directory(path);
  const { transformer, autoencoder, text } = directory;
  const { dtype, device, textLength = defaultTextLength } = options;
  const prompts = encodedPrompts(directory, options);
  const embeddings = flux2Embeddings(directory, { dtype, device, textLength }, textEmbeddingsDirectory());
  const deepest = Math.max(...text.config.states);
  const isRead = (name: string) => {
    const layer = /^model\.layers\.(\d+)\./.exec(name)?.[1];
    return layer === undefined ? name === 'model.embed_tokens.weight' : Number(layer) < deepest;
  };
  return footprintOf(directory, options, {
    transformer: await storedNetwork(transformer.directory),
    autoencoder: await storedNetwork(autoencoder.directory),
    text: await storedNetwork(text.directory, isRead),
    prompts: { count: prompts.length, missing: (await embeddings.missing(prompts)).length },
  });
}

/**
 * What the published model takes of which no file is there.
 * @throws ConfigError for options that are not supported
 */
export function publishedFootprint(_name: string, options: FootprintOptions): ModelFootprint {
  const { directory, parameters, transformerLayers, dtype } = publishedFlux2();
  const count = encodedPrompts(directory, options).length;
  return footprintOf(directory, options, {
    transformer: publishedNetwork(parameters.transformer, dtype, transformerLayers),
    autoencoder: publishedNetwork(parameters.autoencoder, dtype),
    text: publishedNetwork(parameters.text, dtype),
    prompts: { count, missing: count },
  });
}

/**
 * The prompts that are encoded. A distilled model is not guided away from a negative prompt, so that none is encoded.
 */
const encodedPrompts = ({ distilled }: Flux2Directory, options: FootprintOptions): string[] =>
  distilled ? [...new Set(options.prompts)] : promptsOf(options);

function footprintOf(directory: Flux2Directory, options: FootprintOptions, stored: StoredFacts): ModelFootprint {
  const { device, dtype, adapter, size, checkpointing, textLength = defaultTextLength } = options;
  const { imageSize, granularity } = directory;
  const config = directory.transformer.config;
  const { networks: halves, patchSize } = directory.autoencoder.config;
  const [channels, height, width] = latentShapeOf(directory, size ?? { width: imageSize, height: imageSize });
  const targets = adapter.targets ?? defaultTargets(config);
  const tokens = { image: height * width, text: textLength };
  const bytes = elementBytes[dtype];
  const pixels = height * width * granularity ** 2;
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
  const area = height * width * patchSize ** 2;
  const { decoder: precision = defaultDecoder(device) } = options;
  const decoderType = decoderDtype(precision);
  const decoder = new DecoderMemory(halves, area, elementBytes[decoderType]);
  const textType = wideType(dtype);
  const { text } = directory;
  return {
    networks: [
      residentNetwork('transformer', stored.transformer, dtype, device),
      residentNetwork('autoencoder', stored.autoencoder, decoderType, device),
    ],
    prompts: stored.prompts,
    encoders: [encoderNetwork('Qwen3', stored.text, textType)],
    trainable: layers.adapterParameters(targets, adapter.rank),
    folded: bytes * layers.adaptedParameters(targets),
    latent: channels * height * width,
    image: halves.outChannels * pixels,
    conditioning: bytes * textLength * config.jointAttentionDim,
    // Every state up to the deepest one that is read, and a block's own numbers.
    encode:
      Math.min(stored.prompts.missing, encoderBatch) *
      elementBytes[textType] *
      textLength *
      ((Math.max(...text.config.states) + 4 + text.config.states.length) * text.config.width +
        3 * text.config.intermediate),
    sampleBatch: sampleBatchOf(pixels),
    decoder: precision,
    operations: {
      trained: transformerOperations(config, layers, tokens, { ...adapter, targets }, checkpointing),
      pretrained: transformerOperations(config, layers, tokens, undefined, checkpointing),
      decoder: decoderOperations(halves, area),
    },
    evaluate: (samples) => samples * network.evaluate(),
    train: (samples) => samples * network.train(true),
    vjp: (samples) => samples * network.train(false),
    decode: (samples) => samples * decoder.transient(),
    decodeGradient: (samples) => samples * (decoder.kept() + decoder.backward()),
  };
}
