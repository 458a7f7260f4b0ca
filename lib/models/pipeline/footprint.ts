import { readHeader } from '../../files/safetensors.js';
import type { StoredTensor } from './layers.js';
import { LinearLayers, parametersOf } from './layers.js';
import { locateWeights } from '../component-weights.js';
import { isFloating, type ComponentFootprint, type FootprintOptions, type NetworkFootprint } from '../footprint.js';
import type { ModelDType } from '../model.js';
import type { DType } from '../../runtime/native/binding.js';

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
export const residentNetwork = (
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
