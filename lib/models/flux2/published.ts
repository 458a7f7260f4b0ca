import type { Flux2TransformerConfig } from '../../runtime/native/binding.js';
import type { StoredTensor } from '../pipeline/layers.js';
import {
  autoencoderSchema,
  innerOf,
  textSchema,
  toAutoencoderConfig,
  toTextConfig,
  toTransformerConfig,
  transformerSchema,
  widthOf,
} from './config.js';
import { assembleDirectory, type Flux2Directory } from './directory.js';
import { schedulerSchema, toSchedulerConfig } from './scheduler.js';

// What the config.json files of FLUX.2-klein-base-4B hold, as far as they differ from their constructors' defaults:
// enough to plan for a model that has not been downloaded. The distilled FLUX.2-klein-4B has the same sizes.

const name = 'flux2-klein-4b';

const transformer = {
  _class_name: 'Flux2Transformer2DModel',
  num_layers: 5,
  num_single_layers: 20,
  num_attention_heads: 24,
  joint_attention_dim: 7680,
  guidance_embeds: false,
};
const autoencoder = { _class_name: 'AutoencoderKLFlux2' };
/** Qwen3-4B. */
const text = {
  hidden_size: 2560,
  intermediate_size: 9728,
  num_hidden_layers: 36,
  num_key_value_heads: 8,
  rope_theta: 1e6,
};
const scheduler = { _class_name: 'FlowMatchEulerDiscreteScheduler', shift: 3, use_dynamic_shifting: true };

/** How many numbers the networks have in memory. */
const parameters = { transformer: 3_875_544_576, autoencoder: 84_046_371, text: 3_114_088_192 };

export const publishedNames: readonly string[] = [name];

/** What is known of a published model. */
export interface PublishedFlux2 {
  directory: Flux2Directory;
  parameters: typeof parameters;
  /** The matrices of the transformer's linear layers. */
  transformerLayers: StoredTensor[];
  /** What weights are stored as. */
  dtype: 'bfloat16';
}

/** The published model, of which no file is there. */
export function publishedFlux2(): PublishedFlux2 {
  const config = toTransformerConfig(transformerSchema.parse(transformer));
  const directory = assembleDirectory({
    path: name,
    transformer: { directory: name, config },
    autoencoder: { directory: name, config: toAutoencoderConfig(autoencoderSchema.parse(autoencoder)) },
    scheduler: toSchedulerConfig(schedulerSchema.parse(scheduler)),
    text: { directory: name, tokenizer: name, config: toTextConfig(textSchema.parse(text)) },
    distilled: false,
  });
  return { directory, parameters, transformerLayers: matricesOf(config), dtype: 'bfloat16' };
}

/** A test holds these against the native network's own. */
function matricesOf(config: Flux2TransformerConfig): StoredTensor[] {
  const width = widthOf(config);
  const inner = innerOf(config);
  const of = (layer: string, inputs = width, outputs = width): StoredTensor => ({
    name: `${layer}.weight`,
    shape: [outputs, inputs],
  });
  const double = (index: number): StoredTensor[] => {
    const prefix = `transformer_blocks.${index}.`;
    const attention = ['to_q', 'to_k', 'to_v', 'to_out.0', 'add_q_proj', 'add_k_proj', 'add_v_proj', 'to_add_out'];
    const feedForward = (layer: string) => [
      of(`${prefix}${layer}.linear_in`, width, 2 * inner),
      of(`${prefix}${layer}.linear_out`, inner, width),
    ];
    return [
      ...attention.map((layer) => of(`${prefix}attn.${layer}`)),
      ...feedForward('ff'),
      ...feedForward('ff_context'),
    ];
  };
  const single = (index: number): StoredTensor[] => {
    const prefix = `single_transformer_blocks.${index}.attn.`;
    return [of(`${prefix}to_qkv_mlp_proj`, width, 3 * width + 2 * inner), of(`${prefix}to_out`, width + inner, width)];
  };
  const each = (count: number, block: (index: number) => StoredTensor[]) =>
    Array.from({ length: count }, (_, index) => block(index)).flat();
  return [
    of('time_guidance_embed.timestep_embedder.linear_1', config.timeChannels),
    of('time_guidance_embed.timestep_embedder.linear_2'),
    of('double_stream_modulation_img.linear', width, 6 * width),
    of('double_stream_modulation_txt.linear', width, 6 * width),
    of('single_stream_modulation.linear', width, 3 * width),
    of('x_embedder', config.inChannels),
    of('context_embedder', config.jointAttentionDim),
    of('norm_out.linear', width, 2 * width),
    of('proj_out', width, config.inChannels),
    ...each(config.layers, double),
    ...each(config.singleLayers, single),
  ];
}
