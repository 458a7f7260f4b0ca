// The names of layers in the published single files of Stable Diffusion 3, such as sd3.5_medium.safetensors, and in
// diffusers' folders. Source: diffusers 0.40, convert_sd3_to_diffusers.py; ComfyUI 0.3.64, comfy/utils.py
// (mmdit_to_diffusers).
import { halvesInSingleFile } from '../autoencoder-kl/single-file-keys.js';
import type { SingleFileLayer, SingleFileNetwork } from '../single-file.js';
import { countOf, eachOf, layer, swapped, tensor } from '../single-file-layers.js';

/** The network that draws. */
export const transformerNames: SingleFileNetwork = {
  folder: 'transformer',
  prefix: 'model.diffusion_model.',
  // Its SD3_TARGET_REPLACE_MODULE, networks/lora_sd3.py.
  kohya: { program: 'sd-scripts', layers: /^joint_blocks\./ },
  // The last block gives nothing back to the text: what adapts the projections of the others' text stops before it.
  marks: (layers) => {
    const [inward, outward] = ['add_q_proj', 'to_add_out'].map((end) =>
      countOf(
        /^transformer_blocks\.(\d{1,3})\./,
        layers.filter((name) => name.endsWith(`.attn.${end}`)),
      ),
    ) as [number, number];
    return outward > 0 && outward === inward - 1;
  },
  layersOf: (names) => transformerLayers(countOf(/(?:transformer|joint)_blocks[._](\d{1,3})[._]/, names)),
};

/** The network that encodes and decodes images. */
export const autoencoderNames: SingleFileNetwork = {
  folder: 'vae',
  prefix: 'first_stage_model.',
  layersOf: (names) => [
    // Stable Diffusion 3's has neither, autoencoders of its kind may.
    ...['quant_conv', 'post_quant_conv'].map((name) => layer(name, name)),
    ...halvesInSingleFile(names),
  ],
};

/** The networks of a single file, without the text encoders that some hold: the one that adapters change is first. */
export const sd3SingleFile: readonly SingleFileNetwork[] = [transformerNames, autoencoderNames];

/** One of the two streams of a block. */
function streamLayers(single: string, own: string, names: typeof imageNames | typeof contextNames): SingleFileLayer[] {
  const { q, k, v, out, normQ, normK, mlp } = names;
  return [
    layer(`${single}.attn.qkv`, `${own}.attn.${q}`, `${own}.attn.${k}`, `${own}.attn.${v}`),
    layer(`${single}.attn.proj`, `${own}.attn.${out}`),
    layer(`${single}.attn.ln_q`, `${own}.attn.${normQ}`),
    layer(`${single}.attn.ln_k`, `${own}.attn.${normK}`),
    layer(`${single}.mlp.fc1`, `${own}.${mlp}.net.0.proj`),
    layer(`${single}.mlp.fc2`, `${own}.${mlp}.net.2`),
  ];
}
const imageNames = {
  q: 'to_q',
  k: 'to_k',
  v: 'to_v',
  out: 'to_out.0',
  normQ: 'norm_q',
  normK: 'norm_k',
  mlp: 'ff',
} as const;
const contextNames = {
  q: 'add_q_proj',
  k: 'add_k_proj',
  v: 'add_v_proj',
  out: 'to_add_out',
  normQ: 'norm_added_q',
  normK: 'norm_added_k',
  mlp: 'ff_context',
} as const;

/**
 * The transformer's layers. The modulations of diffusers' AdaLayerNormContinuous, which are those of the end and of the
 * last block's text, have their scale first, and the single file its shift.
 */
function transformerLayers(blocks: number): SingleFileLayer[] {
  return [
    tensor('pos_embed', 'pos_embed.pos_embed'),
    layer('x_embedder.proj', 'pos_embed.proj'),
    layer('context_embedder', 'context_embedder'),
    layer('t_embedder.mlp.0', 'time_text_embed.timestep_embedder.linear_1'),
    layer('t_embedder.mlp.2', 'time_text_embed.timestep_embedder.linear_2'),
    layer('y_embedder.mlp.0', 'time_text_embed.text_embedder.linear_1'),
    layer('y_embedder.mlp.2', 'time_text_embed.text_embedder.linear_2'),
    ...eachOf(blocks, (index) => blockLayers(index, index === blocks - 1)),
    swapped('final_layer.adaLN_modulation.1', 'norm_out.linear'),
    layer('final_layer.linear', 'proj_out'),
  ];
}

function blockLayers(index: number, isLast: boolean): SingleFileLayer[] {
  const [single, own] = [`joint_blocks.${index}`, `transformer_blocks.${index}`];
  const [image, context] = [`${single}.x_block`, `${single}.context_block`];
  return [
    layer(`${image}.adaLN_modulation.1`, `${own}.norm1.linear`),
    (isLast ? swapped : layer)(`${context}.adaLN_modulation.1`, `${own}.norm1_context.linear`),
    ...streamLayers(image, own, imageNames),
    ...streamLayers(context, own, contextNames),
    // The second attention of 3.5 Medium's first blocks, of the image alone.
    layer(`${image}.attn2.qkv`, `${own}.attn2.to_q`, `${own}.attn2.to_k`, `${own}.attn2.to_v`),
    layer(`${image}.attn2.proj`, `${own}.attn2.to_out.0`),
    layer(`${image}.attn2.ln_q`, `${own}.attn2.norm_q`),
    layer(`${image}.attn2.ln_k`, `${own}.attn2.norm_k`),
  ];
}
