import type { Sd3TransformerConfig } from '../../runtime/native/binding.js';

/** A linear layer with a bias, under its name. */
interface LinearLayer {
  name: string;
  in: number;
  out: number;
}

/** Of the sinusoidal embedding of time. */
const timeChannels = 256;

/** Width of the tokens. */
export const widthOf = ({ heads, headDim }: Sd3TransformerConfig): number => heads * headDim;

export const isDual = ({ dualAttentionLayers }: Sd3TransformerConfig, layer: number): boolean =>
  dualAttentionLayers.includes(layer);

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
      of(`transformer_blocks.${index}.${name}.net.0.proj`, width, 4 * width),
      of(`transformer_blocks.${index}.${name}.net.2`, 4 * width, width),
    ];
    return [
      of(`transformer_blocks.${index}.norm1.linear`, width, (dual ? 9 : 6) * width),
      of(`transformer_blocks.${index}.norm1_context.linear`, width, (last ? 2 : 6) * width),
      ...own([
        'attn.to_q',
        'attn.to_k',
        'attn.to_v',
        'attn.to_out.0',
        'attn.add_q_proj',
        'attn.add_k_proj',
        'attn.add_v_proj',
      ]),
      ...own(last ? [] : ['attn.to_add_out']),
      ...own(dual ? ['attn2.to_q', 'attn2.to_k', 'attn2.to_v', 'attn2.to_out.0'] : []),
      ...feedForward('ff'),
      ...(last ? [] : feedForward('ff_context')),
    ];
  };
  return [
    of('time_text_embed.timestep_embedder.linear_1', timeChannels),
    of('time_text_embed.timestep_embedder.linear_2'),
    of('time_text_embed.text_embedder.linear_1', pooledProjectionDim),
    of('time_text_embed.text_embedder.linear_2'),
    of('context_embedder', jointAttentionDim),
    of('norm_out.linear', width, 2 * width),
    of('proj_out', width, patchSize ** 2 * outChannels),
    ...Array.from({ length: layers }, (_, index) => block(index)).flat(),
  ];
}

/** Whether a target of an adapter names this layer. */
export const isTarget = (name: string, target: string): boolean => name === target || name.endsWith(`.${target}`);

/** The layers that an adapter with these targets trains. */
export function adaptedLayers(config: Sd3TransformerConfig, targets: readonly string[]): LinearLayer[] {
  return linearLayers(config).filter(({ name }) => targets.some((target) => isTarget(name, target)));
}

export function adapterParameters(config: Sd3TransformerConfig, targets: readonly string[], rank: number): number {
  return adaptedLayers(config, targets).reduce((sum, layer) => sum + rank * (layer.in + layer.out), 0);
}
