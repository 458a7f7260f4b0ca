import type { AutoencoderConfig, ClipTextConfig, Sd3TransformerConfig, T5EncoderConfig } from '../../native/binding.js';

// How many numbers each network stores, from its configuration alone; tables that are not trained are among them.

/** A linear layer with a bias, under its name. */
interface LinearLayer {
  name: string;
  in: number;
  out: number;
}

/** Of the sinusoidal embedding of time. */
const timeChannels = 256;

const linear = (inputs: number, outputs: number): number => (inputs + 1) * outputs;
const convolution = (inputs: number, outputs: number, kernel: number): number => (inputs * kernel ** 2 + 1) * outputs;

/** Width of the tokens. */
export const widthOf = ({ heads, headDim }: Sd3TransformerConfig): number => heads * headDim;

export const isDual = ({ dualAttentionLayers }: Sd3TransformerConfig, layer: number): boolean => dualAttentionLayers.includes(layer);

/** Every linear layer of the transformer: what an adapter can be trained on. */
export function linearLayers(config: Sd3TransformerConfig): LinearLayer[] {
  const width = widthOf(config);
  const { layers, jointAttentionDim, pooledProjectionDim, patchSize, outChannels } = config;
  const of = (name: string, inputs = width, outputs = width): LinearLayer => ({ name, in: inputs, out: outputs });
  const block = (index: number): LinearLayer[] => {
    const last = index === layers - 1;
    const dual = isDual(config, index);
    const own = (names: readonly string[]) => names.map((name) => of(`transformer_blocks.${index}.${name}`));
    const feedForward = (name: string) => [
      of(`transformer_blocks.${index}.${name}.net.0.proj`, width, 4 * width), of(`transformer_blocks.${index}.${name}.net.2`, 4 * width, width),
    ];
    return [
      of(`transformer_blocks.${index}.norm1.linear`, width, (dual ? 9 : 6) * width),
      of(`transformer_blocks.${index}.norm1_context.linear`, width, (last ? 2 : 6) * width),
      ...own(['attn.to_q', 'attn.to_k', 'attn.to_v', 'attn.to_out.0', 'attn.add_q_proj', 'attn.add_k_proj', 'attn.add_v_proj']),
      ...own(last ? [] : ['attn.to_add_out']),
      ...own(dual ? ['attn2.to_q', 'attn2.to_k', 'attn2.to_v', 'attn2.to_out.0'] : []),
      ...feedForward('ff'),
      ...(last ? [] : feedForward('ff_context')),
    ];
  };
  return [
    of('time_text_embed.timestep_embedder.linear_1', timeChannels), of('time_text_embed.timestep_embedder.linear_2'),
    of('time_text_embed.text_embedder.linear_1', pooledProjectionDim), of('time_text_embed.text_embedder.linear_2'),
    of('context_embedder', jointAttentionDim),
    of('norm_out.linear', width, 2 * width), of('proj_out', width, patchSize ** 2 * outChannels),
    ...Array.from({ length: layers }, (_, index) => block(index)).flat(),
  ];
}

export function transformerParameters(config: Sd3TransformerConfig): number {
  const { layers, inChannels, patchSize, posEmbedMaxSize, qkNorm, headDim, dualAttentionLayers } = config;
  const linears = linearLayers(config).reduce((sum, layer) => sum + linear(layer.in, layer.out), 0);
  const norms = qkNorm ? (4 * layers + 2 * dualAttentionLayers.length) * headDim : 0;
  return linears + norms + convolution(inChannels, widthOf(config), patchSize) + posEmbedMaxSize ** 2 * widthOf(config);
}

const isTarget = (name: string, target: string): boolean => name === target || name.endsWith(`.${target}`);

/** The layers that an adapter with these targets trains. */
export function adaptedLayers(config: Sd3TransformerConfig, targets: readonly string[]): LinearLayer[] {
  return linearLayers(config).filter(({ name }) => targets.some((target) => isTarget(name, target)));
}

export function adapterParameters(config: Sd3TransformerConfig, targets: readonly string[], rank: number): number {
  return adaptedLayers(config, targets).reduce((sum, layer) => sum + rank * (layer.in + layer.out), 0);
}

const resnet = (inputs: number, outputs: number): number =>
  2 * inputs + convolution(inputs, outputs, 3) + 2 * outputs + convolution(outputs, outputs, 3) + (inputs === outputs ? 0 : convolution(inputs, outputs, 1));

export function autoencoderParameters(config: AutoencoderConfig): number {
  const { inChannels, outChannels, latentChannels, blockOutChannels, layersPerBlock, midBlockAttention, useQuantConv, usePostQuantConv } = config;
  const deepest = blockOutChannels.at(-1)!;
  const half = (channels: readonly number[], resnets: number): number =>
    channels.reduce((sum, outputs, level) => {
      const first = resnet(channels[Math.max(0, level - 1)]!, outputs);
      const resample = level < channels.length - 1 ? convolution(outputs, outputs, 3) : 0;
      return sum + first + (resnets - 1) * resnet(outputs, outputs) + resample;
    }, 0);
  const middle = 2 * resnet(deepest, deepest) + (midBlockAttention ? 2 * deepest + 4 * linear(deepest, deepest) : 0);
  const encoder = convolution(inChannels, blockOutChannels[0]!, 3) + half(blockOutChannels, layersPerBlock) + middle + 2 * deepest + convolution(deepest, 2 * latentChannels, 3);
  const decoder =
    convolution(latentChannels, deepest, 3) + half([...blockOutChannels].reverse(), layersPerBlock + 1) + middle +
    2 * blockOutChannels[0]! + convolution(blockOutChannels[0]!, outChannels, 3);
  return encoder + decoder + (useQuantConv ? convolution(2 * latentChannels, 2 * latentChannels, 1) : 0) + (usePostQuantConv ? convolution(latentChannels, latentChannels, 1) : 0);
}

export function clipTextParameters({ vocabulary, positions, width, intermediate, layers, projection }: ClipTextConfig): number {
  const layer = 4 * linear(width, width) + linear(width, intermediate) + linear(intermediate, width) + 4 * width;
  return (vocabulary + positions) * width + layers * layer + 2 * width + width * projection;
}

export function t5Parameters({ vocabulary, width, keyWidth, heads, intermediate, layers, feedForward, relativeBuckets }: T5EncoderConfig): number {
  const attention = 4 * width * heads * keyWidth;
  const dense = (feedForward === 'gated-gelu' ? 3 : 2) * width * intermediate;
  return vocabulary * width + layers * (attention + dense + 2 * width) + relativeBuckets * heads + width;
}
