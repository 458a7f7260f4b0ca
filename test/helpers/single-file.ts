// A single file of weights made of a directory in diffusers' layout: the way back, written apart from lib/.
import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';

import { buildHeader, readHeader } from '../../lib/files/safetensors.js';
import type { TensorEntry } from '../../lib/files/safetensors-header.js';

/** A tensor as bytes. */
export type Part = Omit<TensorEntry, 'begin' | 'end'> & { data: Buffer };

/** The tensors of a file. */
export async function partsOf(path: string): Promise<Part[]> {
  const { entries, dataStart } = await readHeader(path);
  const bytes = readFileSync(path);
  return entries.map(({ begin, end, ...entry }) => ({
    ...entry,
    data: bytes.subarray(dataStart + begin, dataStart + end),
  }));
}

/** Three matrices, one below the other. */
export const join3 = (name: string, [q, k, v]: readonly Part[]): Part => ({
  ...q!,
  name,
  shape: [3 * q!.shape[0]!, ...q!.shape.slice(1)],
  data: Buffer.concat([q!.data, k!.data, v!.data]),
});

/** Scale and shift the other way round. */
export const swap = (part: Part): Part => {
  const half = part.data.length / 2;
  return { ...part, data: Buffer.concat([part.data.subarray(half), part.data.subarray(0, half)]) };
};

const names: readonly (readonly [RegExp, string])[] = [
  [/^pos_embed\.pos_embed$/, 'pos_embed'],
  [/^pos_embed\.proj/, 'x_embedder.proj'],
  [/^time_text_embed\.timestep_embedder\.linear_1/, 't_embedder.mlp.0'],
  [/^time_text_embed\.timestep_embedder\.linear_2/, 't_embedder.mlp.2'],
  [/^time_text_embed\.text_embedder\.linear_1/, 'y_embedder.mlp.0'],
  [/^time_text_embed\.text_embedder\.linear_2/, 'y_embedder.mlp.2'],
  [/^norm_out\.linear/, 'final_layer.adaLN_modulation.1'],
  [/^proj_out/, 'final_layer.linear'],
  [/^transformer_blocks\.(\d+)\./, 'joint_blocks.$1.'],
  [/\.norm1\.linear/, '.x_block.adaLN_modulation.1'],
  [/\.norm1_context\.linear/, '.context_block.adaLN_modulation.1'],
  [/\.(attn2?)\.to_out\.0/, '.x_block.$1.proj'],
  [/\.attn\.to_add_out/, '.context_block.attn.proj'],
  [/\.(attn2?)\.norm_(q|k)/, '.x_block.$1.ln_$2'],
  [/\.attn\.norm_added_(q|k)/, '.context_block.attn.ln_$1'],
  [/\.ff\.net\.0\.proj/, '.x_block.mlp.fc1'],
  [/\.ff\.net\.2/, '.x_block.mlp.fc2'],
  [/\.ff_context\.net\.0\.proj/, '.context_block.mlp.fc1'],
  [/\.ff_context\.net\.2/, '.context_block.mlp.fc2'],
];

function transformer(parts: readonly Part[]): Part[] {
  const last = Math.max(...parts.map(({ name }) => Number(/^transformer_blocks\.(\d+)/.exec(name)?.[1] ?? 0)));
  const find = (name: string) => parts.find((part) => part.name === name)!;
  return parts.flatMap((part) => {
    const q = /^transformer_blocks\.(\d+)\.(attn2?)\.(to_q|add_q_proj)\.(weight|bias)$/.exec(part.name);
    if (q) {
      const stream = q[3] === 'to_q' ? 'x_block' : 'context_block';
      const all = ['q', 'k', 'v'].map((letter) => find(part.name.replace(q[3]!, q[3]!.replace('q', letter))));
      return [join3(`joint_blocks.${q[1]}.${stream}.${q[2]}.qkv.${q[4]}`, all)];
    }
    if (/\.(to_k|to_v|add_k_proj|add_v_proj)\./.test(part.name)) return [];
    const ends = part.name.startsWith('norm_out.') || part.name.startsWith(`transformer_blocks.${last}.norm1_context.`);
    const name = names.reduce((text, [pattern, other]) => text.replace(pattern, other), part.name);
    return [{ ...(ends ? swap(part) : part), name }];
  });
}

/** An autoencoder's tensors under the names of latent diffusion. */
export function autoencoder(parts: readonly Part[]): Part[] {
  const ups = 1 + Math.max(...parts.map(({ name }) => Number(/^decoder\.up_blocks\.(\d+)/.exec(name)?.[1] ?? 0)));
  return parts.map((part) => {
    const name = part.name
      .replace(/up_blocks\.(\d+)\./, (_, number: string) => `up.${ups - 1 - Number(number)}.`)
      .replace(/down_blocks\.(\d+)\./, 'down.$1.')
      .replace(/(down|up)samplers\.0\.conv/, '$1sample.conv')
      .replace(/mid_block\.resnets\.(\d+)/, (_, number: string) => `mid.block_${Number(number) + 1}`)
      .replace('mid_block.attentions.0', 'mid.attn_1')
      .replace(/attn_1\.to_(q|k|v)\./, 'attn_1.$1.')
      .replace('attn_1.to_out.0.', 'attn_1.proj_out.')
      .replace('attn_1.group_norm.', 'attn_1.norm.')
      .replace(/resnets\.(\d+)/, 'block.$1')
      .replace('conv_shortcut', 'nin_shortcut')
      .replace('conv_norm_out', 'norm_out');
    const isProjection = /attn_1\.(q|k|v|proj_out)\.weight$/.test(name);
    return { ...part, name, shape: isProjection ? [...part.shape, 1, 1] : part.shape };
  });
}

/** Tensors with a prefix. */
export const under = (prefix: string, parts: readonly Part[]): Part[] =>
  parts.map((part) => ({ ...part, name: prefix + part.name }));

/** Writes tensors to a file, in the order of their names. */
export function writeParts(path: string, parts: readonly Part[]): void {
  const sorted = [...parts].sort((a, b) => (a.name < b.name ? -1 : 1));
  writeFileSync(path, Buffer.concat([buildHeader(sorted), ...sorted.map(({ data }) => data)]));
}

/** A single file of a directory's weights, with its text encoders or without. */
export async function singleFileOf(directory: string, withEncoders: boolean): Promise<Part[]> {
  const weights = (folder: string, file: string) => partsOf(join(directory, folder, `${file}.safetensors`));
  const parts = [
    ...under('model.diffusion_model.', transformer(await weights('transformer', 'diffusion_pytorch_model'))),
    ...under('first_stage_model.', autoencoder(await weights('vae', 'diffusion_pytorch_model'))),
  ];
  if (!withEncoders) return parts;
  for (const [folder, name] of [
    ['text_encoder', 'clip_l'],
    ['text_encoder_2', 'clip_g'],
    ['text_encoder_3', 't5xxl'],
  ] as const)
    parts.push(...under(`text_encoders.${name}.transformer.`, await weights(folder, 'model')));
  return parts;
}

/** The tensors of a file by their names, as type, shape and bytes. */
export async function tensorsIn(path: string): Promise<Record<string, string>> {
  const parts = await partsOf(path);
  return Object.fromEntries(
    parts.map(({ name, dtype, stored, shape, data }) => [
      name,
      `${stored ?? dtype} [${shape}] ${data.toString('base64')}`,
    ]),
  );
}
