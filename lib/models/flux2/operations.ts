import type { Flux2TransformerConfig } from '../../runtime/native/binding.js';
import type { WayOperations } from '../footprint.js';
import type { LinearLayers } from '../pipeline/layers.js';
import { any, OperationCount, type CountedAdapter } from '../pipeline/operations.js';
import { widthOf } from './config.js';

/**
 * Operations of the transformer: with this adapter, whose gradients the backward pass is for, or without one.
 * With checkpointing the backward pass computes the blocks again.
 */
export function transformerOperations(
  config: Flux2TransformerConfig,
  layers: LinearLayers,
  tokens: { image: number; text: number },
  adapter: CountedAdapter | undefined,
  checkpointing: boolean,
): WayOperations {
  const count = new OperationCount(layers, adapter);
  const { linear, two } = count;
  const all = tokens.image + tokens.text;
  const attention = (wanted: boolean) => count.attention(all, widthOf(config), wanted);

  const embedder = 'time_guidance_embed.timestep_embedder';
  const condition = two(`${embedder}.linear_1`, `${embedder}.linear_2`, 1, false);
  const modulated = {
    image: linear('double_stream_modulation_img.linear', 1, condition),
    text: linear('double_stream_modulation_txt.linear', 1, condition),
    single: linear('single_stream_modulation.linear', 1, condition),
  };
  let text = linear('context_embedder', tokens.text, false);
  let image = linear('x_embedder', tokens.image, adapter === undefined);

  for (let index = 0; index < config.layers; index++) {
    const repeat = count.repeatable(checkpointing);
    const prefix = `transformer_blocks.${index}.`;
    const each = (names: readonly string[], of: number, wanted: boolean): boolean =>
      any(...names.map((name) => linear(`${prefix}attn.${name}`, of, wanted)));
    const feedForward = (name: string, of: number, wanted: boolean): boolean =>
      two(`${prefix}${name}.linear_in`, `${prefix}${name}.linear_out`, of, wanted);
    const mixed = attention(
      any(
        each(['to_q', 'to_k', 'to_v'], tokens.image, any(image, modulated.image)),
        each(['add_q_proj', 'add_k_proj', 'add_v_proj'], tokens.text, any(text, modulated.text)),
      ),
    );
    image = any(image, modulated.image, linear(`${prefix}attn.to_out.0`, tokens.image, mixed));
    image = any(image, feedForward('ff', tokens.image, image));
    text = any(text, modulated.text, linear(`${prefix}attn.to_add_out`, tokens.text, mixed));
    text = any(text, feedForward('ff_context', tokens.text, text));
    repeat();
  }

  let both = any(image, text);
  for (let index = 0; index < config.singleLayers; index++) {
    const repeat = count.repeatable(checkpointing);
    const prefix = `single_transformer_blocks.${index}.attn.`;
    const entered = linear(`${prefix}to_qkv_mlp_proj`, all, any(both, modulated.single));
    both = any(both, modulated.single, linear(`${prefix}to_out`, all, any(attention(entered), entered)));
    repeat();
  }
  linear('proj_out', tokens.image, any(both, linear('norm_out.linear', 1, condition)));
  return count.total;
}
