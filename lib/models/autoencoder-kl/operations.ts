import type { AutoencoderKlConfig } from '../../runtime/native/binding.js';
import type { WayOperations } from '../footprint.js';
import { decoderChannels } from './config.js';

/** Operations of the autoencoder's decoder for latents of `area` places, whose gradient its backward pass gives. */
export function decoderOperations(config: AutoencoderKlConfig, area: number): WayOperations {
  const channels = decoderChannels(config);
  const deepest = channels[0]!,
    finest = channels.at(-1)!;
  const convolution = (inputs: number, outputs: number, kernel: number, places: number) =>
    2 * places * inputs * outputs * kernel ** 2;
  const resnet = (inputs: number, outputs: number, places: number) =>
    convolution(inputs, outputs, 3, places) +
    convolution(outputs, outputs, 3, places) +
    (inputs === outputs ? 0 : convolution(inputs, outputs, 1, places));
  const pairs = config.midBlockAttention ? area ** 2 * deepest : 0;
  const middle =
    2 * resnet(deepest, deepest, area) + (config.midBlockAttention ? 4 * convolution(deepest, deepest, 1, area) : 0);
  const levels = channels.reduce((sum, outputs, level) => {
    const places = area * 4 ** level;
    const blocks =
      resnet(channels[Math.max(0, level - 1)]!, outputs, places) +
      config.layersPerBlock * resnet(outputs, outputs, places);
    return sum + blocks + (level < channels.length - 1 ? convolution(outputs, outputs, 3, 4 * places) : 0);
  }, 0);
  const ends =
    (config.usePostQuantConv ? convolution(config.latentChannels, config.latentChannels, 1, area) : 0) +
    convolution(config.latentChannels, deepest, 3, area) +
    convolution(finest, config.outChannels, 3, area * 4 ** (channels.length - 1));
  const layers = ends + middle + levels;
  return { forward: layers + 4 * pairs, backward: layers + 8 * pairs };
}
