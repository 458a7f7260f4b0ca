import type { TensorEntry } from '../../../files/safetensors-header.js';
import { moved, movedParts, type MovedTensor } from '../../single-file.js';

// The names are those of Stability's mmdit.py (github.com/Stability-AI/sd3.5) on the left and of diffusers'
// SD3Transformer2DModel on the right, which its convert_sd3_transformer_checkpoint_to_diffusers relates. There, a
// modulation that ends a stream gives shift, then scale; in diffusers' AdaLayerNormContinuous scale comes first.

const single: Readonly<Record<string, string>> = {
  'x_embedder.proj': 'pos_embed.proj',
  't_embedder.mlp.0': 'time_text_embed.timestep_embedder.linear_1',
  't_embedder.mlp.2': 'time_text_embed.timestep_embedder.linear_2',
  'y_embedder.mlp.0': 'time_text_embed.text_embedder.linear_1',
  'y_embedder.mlp.2': 'time_text_embed.text_embedder.linear_2',
  context_embedder: 'context_embedder',
  'final_layer.linear': 'proj_out',
};

const inBlock: Readonly<Record<string, string>> = {
  'x_block.attn.proj': 'attn.to_out.0',
  'x_block.attn.ln_q': 'attn.norm_q',
  'x_block.attn.ln_k': 'attn.norm_k',
  'x_block.attn2.proj': 'attn2.to_out.0',
  'x_block.attn2.ln_q': 'attn2.norm_q',
  'x_block.attn2.ln_k': 'attn2.norm_k',
  'x_block.adaLN_modulation.1': 'norm1.linear',
  'x_block.mlp.fc1': 'ff.net.0.proj',
  'x_block.mlp.fc2': 'ff.net.2',
  'context_block.attn.proj': 'attn.to_add_out',
  'context_block.attn.ln_q': 'attn.norm_added_q',
  'context_block.attn.ln_k': 'attn.norm_added_k',
  'context_block.adaLN_modulation.1': 'norm1_context.linear',
  'context_block.mlp.fc1': 'ff_context.net.0.proj',
  'context_block.mlp.fc2': 'ff_context.net.2',
};

/** Query, key and value, which the single file has in one matrix, one below the other. */
const fused: Readonly<Record<string, readonly string[]>> = {
  'x_block.attn.qkv': ['attn.to_q', 'attn.to_k', 'attn.to_v'],
  'x_block.attn2.qkv': ['attn2.to_q', 'attn2.to_k', 'attn2.to_v'],
  'context_block.attn.qkv': ['attn.add_q_proj', 'attn.add_k_proj', 'attn.add_v_proj'],
};

const swapped = [1, 0];

/** The number of blocks among the names of a transformer, without what stands before them. */
export const blocksOf = (names: readonly string[]): number =>
  1 + Math.max(-1, ...names.map((name) => Number(/^joint_blocks\.(\d+)\./.exec(name)?.[1] ?? -1)));

/** One tensor of the transformer under diffusers' names; undefined for a name that the transformer does not have. */
export function movedFromTransformer(entry: TensorEntry, name: string, blocks: number): MovedTensor[] | undefined {
  if (name === 'pos_embed') return [moved(entry, 'pos_embed.pos_embed')];
  const [, module = '', kind = ''] = /^(.*)\.(weight|bias)$/.exec(name) ?? [];
  if (single[module]) return [moved(entry, `${single[module]}.${kind}`)];
  if (module === 'final_layer.adaLN_modulation.1') return [movedParts(entry, `norm_out.linear.${kind}`, 2, swapped)];
  const [, number = '', part = ''] = /^joint_blocks\.(\d+)\.(.*)$/.exec(module) ?? [];
  const block = (own: string) => `transformer_blocks.${number}.${own}.${kind}`;
  if (fused[part]) return fused[part].map((own, third) => movedParts(entry, block(own), 3, [third]));
  const own = inBlock[part];
  if (own === undefined) return undefined;
  // The last block's context goes no further, and its modulation is of the kind that ends a stream.
  const isEnd = part === 'context_block.adaLN_modulation.1' && Number(number) === blocks - 1;
  return [isEnd ? movedParts(entry, block(own), 2, swapped) : moved(entry, block(own))];
}
