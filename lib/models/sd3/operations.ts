import type { Sd3TransformerConfig } from '../../runtime/native/binding.js';
import type { WayOperations } from '../footprint.js';
import { any, OperationCount, type CountedAdapter } from '../pipeline/operations.js';
import type { LinearLayers } from '../pipeline/layers.js';
import { isDual, widthOf } from './config.js';

/**
 * Operations of the transformer: with this adapter, whose gradients the backward pass is for, or without one.
 * With checkpointing the backward pass computes the blocks again.
 */
export function transformerOperations(
  config: Sd3TransformerConfig,
  layers: LinearLayers,
  tokens: { image: number; text: number },
  adapter: CountedAdapter | undefined,
  checkpointing: boolean,
): WayOperations {
  const count = new OperationCount(layers, adapter);
  const { linear, two } = count;
  const attention = (tokens: number, wanted: boolean) => count.attention(tokens, widthOf(config), wanted);

  const embedder = (name: string) =>
    two(`time_text_embed.${name}.linear_1`, `time_text_embed.${name}.linear_2`, 1, false);
  const condition = any(embedder('timestep_embedder'), embedder('text_embedder'));
  let text = linear('context_embedder', tokens.text, false);
  let image = count.product(
    2 * tokens.image * config.inChannels * config.patchSize ** 2 * widthOf(config),
    adapter === undefined,
  );

  for (let index = 0; index < config.layers; index++) {
    const repeat = count.repeatable(checkpointing);
    const prefix = `transformer_blocks.${index}.`;
    const last = index === config.layers - 1;
    const all = (names: readonly string[], count: number, wanted: boolean): boolean =>
      any(...names.map((name) => linear(prefix + name, count, wanted)));
    const modulated = linear(`${prefix}norm1.linear`, 1, condition),
      textModulated = linear(`${prefix}norm1_context.linear`, 1, condition);
    const normed = any(image, modulated);
    const mixed = attention(
      tokens.image + tokens.text,
      any(
        all(['attn.to_q', 'attn.to_k', 'attn.to_v'], tokens.image, normed),
        all(['attn.add_q_proj', 'attn.add_k_proj', 'attn.add_v_proj'], tokens.text, any(text, textModulated)),
      ),
    );
    image = any(image, modulated, linear(`${prefix}attn.to_out.0`, tokens.image, mixed));
    if (isDual(config, index)) {
      const own = attention(tokens.image, all(['attn2.to_q', 'attn2.to_k', 'attn2.to_v'], tokens.image, normed));
      image = any(image, linear(`${prefix}attn2.to_out.0`, tokens.image, own));
    }
    image = any(image, two(`${prefix}ff.net.0.proj`, `${prefix}ff.net.2`, tokens.image, image));
    if (!last) {
      text = any(text, textModulated, linear(`${prefix}attn.to_add_out`, tokens.text, mixed));
      text = any(text, two(`${prefix}ff_context.net.0.proj`, `${prefix}ff_context.net.2`, tokens.text, text));
    }
    repeat();
  }
  linear('proj_out', tokens.image, any(image, linear('norm_out.linear', 1, condition)));
  return count.total;
}
