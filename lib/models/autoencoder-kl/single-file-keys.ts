// The names of an autoencoder's layers in single files, which are those of latent diffusion, and in diffusers' folders.
// Source: diffusers 0.40, loaders/single_file_utils.py (convert_ldm_vae_checkpoint); ComfyUI 0.3.64,
// comfy/diffusers_convert.py.
import type { SingleFileLayer } from '../single-file.js';
import { countOf, eachOf, layer } from '../single-file-layers.js';

/**
 * The layers of encoder and decoder, without those between them and the latents.
 * @param names names of tensors, which tell how many resolutions there are, each with its own number of channels, and
 *   how many residual blocks in each of the encoder's; the decoder's have one more
 */
export function halvesInSingleFile(names: readonly string[]): SingleFileLayer[] {
  const levels = countOf(/encoder\.down(?:_blocks)?\.(\d{1,3})\./, names);
  const resnets = countOf(/encoder\.down(?:_blocks)?\.\d+\.(?:resnets|block)\.(\d{1,3})\./, names);
  return ['encoder', 'decoder'].flatMap((half) => [
    ...['conv_in', 'conv_out'].map((name) => layer(`${half}.${name}`, `${half}.${name}`)),
    layer(`${half}.norm_out`, `${half}.conv_norm_out`),
    ...middleLayers(`${half}.mid`, `${half}.mid_block`),
    ...eachOf(levels, (level) =>
      half === 'encoder'
        ? [
            ...resnetsLayers(`encoder.down.${level}`, `encoder.down_blocks.${level}`, resnets),
            layer(`encoder.down.${level}.downsample.conv`, `encoder.down_blocks.${level}.downsamplers.0.conv`),
          ]
        : // The single file counts from the finest level, diffusers from the coarsest.
          [
            ...resnetsLayers(`decoder.up.${levels - 1 - level}`, `decoder.up_blocks.${level}`, resnets + 1),
            layer(`decoder.up.${levels - 1 - level}.upsample.conv`, `decoder.up_blocks.${level}.upsamplers.0.conv`),
          ],
    ),
  ]);
}

const resnetsLayers = (single: string, own: string, count: number): SingleFileLayer[] =>
  eachOf(count, (index) => resnetLayers(`${single}.block.${index}`, `${own}.resnets.${index}`));

const resnetLayers = (single: string, own: string): SingleFileLayer[] => [
  ...['norm1', 'conv1', 'norm2', 'conv2'].map((name) => layer(`${single}.${name}`, `${own}.${name}`)),
  layer(`${single}.nin_shortcut`, `${own}.conv_shortcut`),
];

function middleLayers(single: string, own: string): SingleFileLayer[] {
  const [attention, ours] = [`${single}.attn_1`, `${own}.attentions.0`];
  return [
    ...resnetLayers(`${single}.block_1`, `${own}.resnets.0`),
    ...resnetLayers(`${single}.block_2`, `${own}.resnets.1`),
    layer(`${attention}.norm`, `${ours}.group_norm`),
    ...[
      ['q', 'to_q'],
      ['k', 'to_k'],
      ['v', 'to_v'],
      ['proj_out', 'to_out.0'],
    ].map(([name, other]) => ({ ...layer(`${attention}.${name}`, `${ours}.${other}`), pointwise: true })),
  ];
}
