import { readHeader } from '../../files/safetensors.js';
import type { AutoencoderKlConfig, DType } from '../../runtime/native/binding.js';
import { DecoderMemory } from '../autoencoder-kl/memory.js';
import { decoderOperations } from '../autoencoder-kl/operations.js';
import { locateWeights } from '../component-weights.js';
import {
  elementBytes,
  isFloating,
  type ComponentFootprint,
  type FootprintOptions,
  type NetworkFootprint,
  type WayOperations,
} from '../footprint.js';
import type { ModelDType } from '../model.js';
import { LinearLayers, parametersOf, type StoredTensor } from './layers.js';
import { sampleBatchOf } from './model.js';
import type { CountedAdapter } from './operations.js';

/** What the headers of a network's weights tell. */
export interface StoredNetwork {
  /** How many numbers it has. */
  parameters: number;
  /** What they are stored as. */
  types: readonly DType[];
  layers: LinearLayers;
}

/**
 * What is known of a network from the headers of its weights.
 * @param used which of the tensors the network has in memory; left out: all
 * @throws CheckpointError where a file is missing or cut short
 */
export async function storedNetwork(
  directory: string,
  used: (name: string, all: ReadonlySet<string>) => boolean = () => true,
): Promise<StoredNetwork> {
  const headers = await Promise.all((await locateWeights(directory)).map(readHeader));
  const all = headers.flatMap(({ entries }) => entries).filter(({ dtype }) => isFloating(dtype));
  const names = new Set(all.map(({ name }) => name));
  const tensors = all.filter(({ name }) => used(name, names));
  return {
    parameters: parametersOf(tensors),
    types: tensors.map(({ dtype }) => dtype),
    layers: new LinearLayers(tensors),
  };
}

/** A network of which no file is there. */
export const publishedNetwork = (
  parameters: number,
  dtype: ModelDType,
  layers: readonly StoredTensor[] = [],
): StoredNetwork => ({ parameters, types: [dtype], layers: new LinearLayers(layers) });

/** One that stays in memory. */
const residentNetwork = (
  name: string,
  { parameters, types }: StoredNetwork,
  dtype: ModelDType,
  device: string,
): NetworkFootprint => ({
  name,
  parameters,
  dtype,
  // On the CPU weights stay where their files are mapped, if they need not be converted.
  mapped: device === 'cpu' && types.every((each) => each === dtype),
});

/** One that is in memory while prompts are encoded. */
export const encoderNetwork = (name: string, { parameters }: StoredNetwork, dtype: ModelDType): ComponentFootprint => ({
  name: `text encoder (${name})`,
  parameters,
  dtype,
});

/** The prompts that are encoded, each once, the negative one among them. */
export const promptsOf = ({
  prompts,
  negativePrompt = '',
}: Pick<FootprintOptions, 'prompts' | 'negativePrompt'>): string[] => [...new Set([...prompts, negativePrompt])];

/** Bytes of a transformer's number, and of one that a norm of queries and keys keeps. */
export function numberBytes({ device, dtype }: FootprintOptions) {
  const network = elementBytes[dtype];
  // The CPU normalises half types in float32, and keeps that copy of what it normalised.
  return { network, norms: device === 'cpu' ? Math.max(network, elementBytes.float32) : network };
}

/**
 * What a pipeline takes beside the encoding of its prompts.
 * @param counts what the kinds count differently: the bytes of one sample in the transformer and its operations, and
 *   the height times the width of what images are decoded of
 */
export function pipelineFootprint(
  { dtype, device, adapter }: FootprintOptions,
  stored: { transformer: StoredNetwork; autoencoder: StoredNetwork },
  counts: {
    latentShape: readonly [number, number, number];
    pixels: number;
    targets: readonly string[];
    memory: { evaluate(): number; train(trained: boolean): number };
    operations(adapter: CountedAdapter | undefined): WayOperations;
    decoder: { config: AutoencoderKlConfig; area: number };
  },
) {
  const { latentShape, pixels, targets, memory, operations, decoder } = counts;
  const [channels, height, width] = latentShape;
  const { layers } = stored.transformer;
  const images = new DecoderMemory(decoder.config, decoder.area);
  return {
    networks: [
      residentNetwork('transformer', stored.transformer, dtype, device),
      residentNetwork('autoencoder', stored.autoencoder, 'float32', device),
    ],
    trainable: layers.adapterParameters(targets, adapter.rank),
    latent: channels * height * width,
    image: decoder.config.outChannels * pixels,
    sampleBatch: sampleBatchOf(pixels),
    operations: {
      trained: operations({ ...adapter, targets }),
      pretrained: operations(undefined),
      decoder: decoderOperations(decoder.config, decoder.area),
    },
    evaluate: (samples: number) => samples * memory.evaluate(),
    train: (samples: number) => samples * memory.train(true),
    vjp: (samples: number) => samples * memory.train(false),
    decode: (samples: number) => samples * images.transient(),
    decodeGradient: (samples: number) => samples * (images.kept() + images.backward()),
  };
}
