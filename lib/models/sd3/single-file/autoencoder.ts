import type { TensorEntry } from '../../../files/safetensors-header.js';
import { moved, type MovedTensor } from '../../single-file.js';

// The names are those of latent diffusion's autoencoder (github.com/CompVis/latent-diffusion) on the left and of
// diffusers' AutoencoderKL on the right, which its convert_ldm_vae_checkpoint relates.

const attention: Readonly<Record<string, string>> = {
  norm: 'group_norm',
  q: 'to_q',
  k: 'to_k',
  v: 'to_v',
  proj_out: 'to_out.0',
};

/** The number of blocks of the decoder, which the single file counts from the image and diffusers from the latents. */
export const upBlocksOf = (names: readonly string[]): number =>
  1 + Math.max(-1, ...names.map((name) => Number(/^decoder\.up\.(\d+)\./.exec(name)?.[1] ?? -1)));

/** One tensor of the autoencoder under diffusers' names; undefined for a name that the autoencoder does not have. */
export function movedFromAutoencoder(entry: TensorEntry, name: string, upBlocks: number): MovedTensor | undefined {
  const [, half, rest = '', kind = ''] = /^(?:(encoder|decoder)\.)?(.*)\.(weight|bias)$/.exec(name) ?? [];
  const own = half === undefined ? quantConvolution(rest) : inHalf(rest, upBlocks);
  if (own === undefined) return undefined;
  const tensor = moved(entry, `${half === undefined ? '' : `${half}.`}${own}.${kind}`);
  // Projections of the attention are linear layers in diffusers, and convolutions of one pixel here.
  const isConvolution = own.includes('attentions') && entry.shape.length > 2;
  return isConvolution ? { ...tensor, shape: entry.shape.slice(0, 2) } : tensor;
}

const quantConvolution = (name: string): string | undefined =>
  name === 'quant_conv' || name === 'post_quant_conv' ? name : undefined;

function inHalf(name: string, upBlocks: number): string | undefined {
  if (name === 'conv_in' || name === 'conv_out') return name;
  if (name === 'norm_out') return 'conv_norm_out';
  const [, mid, midPart] = /^mid\.block_(\d+)\.(.*)$/.exec(name) ?? [];
  if (mid !== undefined) return `mid_block.resnets.${Number(mid) - 1}.${resnet(midPart!)}`;
  const [, projection] = /^mid\.attn_1\.(.*)$/.exec(name) ?? [];
  if (projection !== undefined) return attention[projection] && `mid_block.attentions.0.${attention[projection]}`;
  const [, way, level, part] = /^(down|up)\.(\d+)\.(.*)$/.exec(name) ?? [];
  if (part === undefined) return undefined;
  const block = `${way}_blocks.${way === 'up' ? upBlocks - 1 - Number(level) : level}`;
  if (part === `${way}sample.conv`) return `${block}.${way}samplers.0.conv`;
  const [, number, inner] = /^block\.(\d+)\.(.*)$/.exec(part) ?? [];
  return inner && `${block}.resnets.${number}.${resnet(inner)}`;
}

const resnet = (part: string): string => part.replace('nin_shortcut', 'conv_shortcut');
