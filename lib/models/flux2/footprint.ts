import { elementBytes, type FootprintOptions, type ModelFootprint } from '../footprint.js';
import { encoderBatch } from '../pipeline/embeddings.js';
import {
  encoderNetwork,
  numberBytes,
  pipelineFootprint,
  promptsOf,
  publishedNetwork,
  storedNetwork,
  type StoredNetwork,
} from '../pipeline/footprint.js';
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

/** A distilled model is led away from nothing. */
const encodedPrompts = ({ distilled }: Flux2Directory, options: FootprintOptions): string[] =>
  distilled ? [...new Set(options.prompts)] : promptsOf(options);

function footprintOf(directory: Flux2Directory, options: FootprintOptions, stored: StoredFacts): ModelFootprint {
  const { dtype, adapter, size, checkpointing, textLength = defaultTextLength } = options;
  const { imageSize, granularity, text } = directory;
  const config = directory.transformer.config;
  const { networks: halves, patchSize } = directory.autoencoder.config;
  const latentShape = latentShapeOf(directory, size ?? { width: imageSize, height: imageSize });
  const targets = adapter.targets ?? defaultTargets(config);
  const positions = latentShape[1] * latentShape[2];
  const tokens = { image: positions, text: textLength };
  const { layers } = stored.transformer;
  const textType = wideType(dtype);
  return {
    ...pipelineFootprint(options, stored, {
      latentShape,
      pixels: positions * granularity ** 2,
      targets,
      memory: new TransformerMemory(config, layers.adapted(targets), tokens, numberBytes(options), checkpointing),
      decoder: { config: halves, area: positions * patchSize ** 2 },
      operations: (counted) => transformerOperations(config, layers, tokens, counted, checkpointing),
    }),
    prompts: stored.prompts,
    encoders: [encoderNetwork('Qwen3', stored.text, textType)],
    conditioning: elementBytes[dtype] * textLength * config.jointAttentionDim,
    // Every state up to the deepest one that is read, and a block's own numbers.
    encode:
      Math.min(stored.prompts.missing, encoderBatch) *
      elementBytes[textType] *
      textLength *
      ((Math.max(...text.config.states) + 4 + text.config.states.length) * text.config.width +
        3 * text.config.intermediate),
  };
}
