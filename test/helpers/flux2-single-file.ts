// The single files of FLUX.2 made of a directory in diffusers' layout: the way back, written apart from lib/.
import { join } from 'node:path';

import { autoencoder, join3, type Part, partsOf, swap } from './single-file.js';

const names: readonly (readonly [RegExp, string])[] = [
  [/^x_embedder/, 'img_in'],
  [/^context_embedder/, 'txt_in'],
  [/^time_guidance_embed\.timestep_embedder\.linear_1/, 'time_in.in_layer'],
  [/^time_guidance_embed\.timestep_embedder\.linear_2/, 'time_in.out_layer'],
  [/^((?:double|single)_stream_modulation\w*)\.linear/, '$1.lin'],
  [/^norm_out\.linear/, 'final_layer.adaLN_modulation.1'],
  [/^proj_out/, 'final_layer.linear'],
  [/^single_transformer_blocks\.(\d+)\.attn\.to_qkv_mlp_proj/, 'single_blocks.$1.linear1'],
  [/^single_transformer_blocks\.(\d+)\.attn\.to_out/, 'single_blocks.$1.linear2'],
  [/^single_transformer_blocks\.(\d+)\.attn\.norm_q\.weight/, 'single_blocks.$1.norm.query_norm.scale'],
  [/^single_transformer_blocks\.(\d+)\.attn\.norm_k\.weight/, 'single_blocks.$1.norm.key_norm.scale'],
  [/^transformer_blocks\.(\d+)\./, 'double_blocks.$1.'],
  [/\.attn\.to_out\.0/, '.img_attn.proj'],
  [/\.attn\.to_add_out/, '.txt_attn.proj'],
  [/\.attn\.norm_q\.weight/, '.img_attn.norm.query_norm.scale'],
  [/\.attn\.norm_k\.weight/, '.img_attn.norm.key_norm.scale'],
  [/\.attn\.norm_added_q\.weight/, '.txt_attn.norm.query_norm.scale'],
  [/\.attn\.norm_added_k\.weight/, '.txt_attn.norm.key_norm.scale'],
  [/\.ff\.linear_in/, '.img_mlp.0'],
  [/\.ff\.linear_out/, '.img_mlp.2'],
  [/\.ff_context\.linear_in/, '.txt_mlp.0'],
  [/\.ff_context\.linear_out/, '.txt_mlp.2'],
];

function transformer(parts: readonly Part[]): Part[] {
  const find = (name: string) => parts.find((part) => part.name === name)!;
  return parts.flatMap((part) => {
    const q = /^transformer_blocks\.(\d+)\.attn\.(to_q|add_q_proj)\.weight$/.exec(part.name);
    if (q) {
      const all = ['q', 'k', 'v'].map((letter) => find(part.name.replace(q[2]!, q[2]!.replace('q', letter))));
      return [join3(`double_blocks.${q[1]}.${q[2] === 'to_q' ? 'img' : 'txt'}_attn.qkv.weight`, all)];
    }
    if (/\.attn\.(to_k|to_v|add_k_proj|add_v_proj)\./.test(part.name)) return [];
    const name = names.reduce((text, [pattern, other]) => text.replace(pattern, other), part.name);
    return [{ ...(part.name.startsWith('norm_out.') ? swap(part) : part), name }];
  });
}

const quantised = (parts: readonly Part[]): Part[] =>
  parts.map((part) => ({
    ...part,
    name: part.name.replace(/^quant_conv/, 'encoder.quant_conv').replace(/^post_quant_conv/, 'decoder.post_quant_conv'),
  }));

/** The transformer, the autoencoder and the text encoder of a directory, each under the names of its single file. */
export async function flux2Parts(directory: string): Promise<Record<'transformer' | 'vae' | 'text_encoder', Part[]>> {
  const weights = (folder: string, file: string) => partsOf(join(directory, folder, `${file}.safetensors`));
  return {
    transformer: transformer(await weights('transformer', 'diffusion_pytorch_model')),
    vae: quantised(autoencoder(await weights('vae', 'diffusion_pytorch_model'))),
    text_encoder: await weights('text_encoder', 'model'),
  };
}
