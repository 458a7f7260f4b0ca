// The names of layers in the published single files of FLUX.2, such as flux-2-klein-base-4b.safetensors, and in
// diffusers' folders. Source: Black Forest Labs' flux2, src/flux2/model.py and autoencoder.py; diffusers 0.40,
// diffusers/scripts/convert_flux2_to_diffusers.py; ComfyUI 0.29, comfy/utils.py (flux_to_diffusers) and
// comfy/supported_models.py.
import { halvesInSingleFile } from '../autoencoder-kl/single-file-keys.js';
import type { SingleFileLayer, SingleFileNetwork } from '../single-file.js';
import { countOf, eachOf, layer, swapped, tensor } from '../single-file-layers.js';

/** The network that draws. */
export const transformerNames: SingleFileNetwork = {
  folder: 'transformer',
  prefix: 'model.diffusion_model.',
  // Its FLUX_2_TARGET_REPLACE_MODULES, networks/lora_flux_2.py.
  kohya: { program: 'musubi-tuner', layers: /^(double|single)_blocks\./ },
  layersOf: (names) => [
    ...outerLayers,
    ...eachOf(countOf(/(?<!single_)(?:transformer|double)_blocks[._](\d{1,3})[._]/, names), doubleLayers),
    ...eachOf(countOf(/single_(?:transformer_)?blocks[._](\d{1,3})[._]/, names), singleLayers),
  ],
};

/** The network that encodes and decodes images. */
export const autoencoderNames: SingleFileNetwork = {
  folder: 'vae',
  // What ComfyUI looks for in a checkpoint of this kind.
  prefix: 'vae.',
  layersOf: (names) => [
    layer('encoder.quant_conv', 'quant_conv'),
    layer('decoder.post_quant_conv', 'post_quant_conv'),
    { ...layer('bn', 'bn'), tensors: ['.running_mean', '.running_var', '.num_batches_tracked'] },
    ...halvesInSingleFile(names),
  ],
};

/** The networks of a single file, without the text encoder that some hold: the one that adapters change is first. */
export const flux2SingleFile: readonly SingleFileNetwork[] = [transformerNames, autoencoderNames];

/** All but the blocks. The modulation of the end has its scale first in diffusers, and its shift in the single file. */
const outerLayers: readonly SingleFileLayer[] = [
  layer('img_in', 'x_embedder'),
  layer('txt_in', 'context_embedder'),
  layer('time_in.in_layer', 'time_guidance_embed.timestep_embedder.linear_1'),
  layer('time_in.out_layer', 'time_guidance_embed.timestep_embedder.linear_2'),
  ...['double_stream_modulation_img', 'double_stream_modulation_txt', 'single_stream_modulation'].map((name) =>
    layer(`${name}.lin`, `${name}.linear`),
  ),
  swapped('final_layer.adaLN_modulation.1', 'norm_out.linear'),
  layer('final_layer.linear', 'proj_out'),
];

/** A block in which image and text have layers of their own. */
function doubleLayers(index: number): SingleFileLayer[] {
  const [single, own] = [`double_blocks.${index}`, `transformer_blocks.${index}`];
  const stream = (name: string, attention: readonly string[], feedForward: string): SingleFileLayer[] => {
    const [q, k, v, out, normQ, normK] = attention.map((each) => `${own}.attn.${each}`) as [string, ...string[]];
    return [
      layer(`${single}.${name}_attn.qkv`, q, k!, v!),
      layer(`${single}.${name}_attn.proj`, out!),
      ...normLayers(`${single}.${name}_attn.norm`, normQ!, normK!),
      layer(`${single}.${name}_mlp.0`, `${own}.${feedForward}.linear_in`),
      layer(`${single}.${name}_mlp.2`, `${own}.${feedForward}.linear_out`),
    ];
  };
  const text = ['add_q_proj', 'add_k_proj', 'add_v_proj', 'to_add_out', 'norm_added_q', 'norm_added_k'];
  return [
    ...stream('img', ['to_q', 'to_k', 'to_v', 'to_out.0', 'norm_q', 'norm_k'], 'ff'),
    ...stream('txt', text, 'ff_context'),
  ];
}

/** A block in which attention and feed-forward layers are one product, in the single file as in diffusers. */
function singleLayers(index: number): SingleFileLayer[] {
  const [single, own] = [`single_blocks.${index}`, `single_transformer_blocks.${index}.attn`];
  return [
    layer(`${single}.linear1`, `${own}.to_qkv_mlp_proj`),
    layer(`${single}.linear2`, `${own}.to_out`),
    ...normLayers(`${single}.norm`, `${own}.norm_q`, `${own}.norm_k`),
  ];
}

const normLayers = (single: string, query: string, key: string): SingleFileLayer[] => [
  tensor(`${single}.query_norm.scale`, `${query}.weight`),
  tensor(`${single}.key_norm.scale`, `${key}.weight`),
];
