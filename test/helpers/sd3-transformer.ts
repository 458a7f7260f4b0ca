// Transformers of Stable Diffusion 3 with tiny random weights, and what diffusers computes with them.
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';

import { toTransformerConfig, transformerSchema } from '../../lib/models/sd3/config.js';
import { binding } from '../../lib/runtime/native/index.js';
import type {
  LoraConfig,
  NativeFlowModel,
  NativeTensor,
  Sd3TransformerConfig,
} from '../../lib/runtime/native/binding.js';
import { loadTensors, readHeader } from '../../lib/files/safetensors.js';
import { normal } from './tiny-model.js';

type Tensors = Record<string, NativeTensor>;

const fixtures = fileURLToPath(new URL('../fixtures', import.meta.url));
export const sd35 = join(fixtures, 'sd35-tiny');

/** One evaluation of a velocity, its upstream gradient, and what comes back. */
export interface Golden {
  x: NativeTensor;
  t: Float32Array;
  conditioning: NativeTensor[];
  upstream: NativeTensor;
  velocity: number[];
  gradX: number[];
  /** Of trainable tensors by name. */
  grads: Record<string, number[]>;
}

export interface Transformer {
  config: Sd3TransformerConfig;
  tensors: Tensors;
  goldens: Record<string, Golden>;
}

export const numbers = async (tensor: NativeTensor | undefined, factor = 1): Promise<number[]> =>
  Array.from((await tensor!.data()) as Float32Array | Float64Array, (value) => factor * value);

/** The one with the goldens `square` and `wide`. The velocity is the negative of what diffusers' network returns. */
export async function sd35Transformer(): Promise<Transformer> {
  const json: unknown = JSON.parse(readFileSync(join(sd35, 'transformer/config.json'), 'utf8'));
  const all = await loadTensors(join(sd35, 'goldens.safetensors'));
  const golden = async (name: string): Promise<Golden> => {
    const get = (key: string): NativeTensor => all[`transformer.${name}.${key}`]!;
    return {
      x: get('hidden_states'),
      t: Float32Array.from(await numbers(get('timestep')), (timestep) => 1 - timestep / 1000),
      conditioning: [get('encoder_hidden_states'), get('pooled_projections')],
      upstream: get('upstream'),
      velocity: await numbers(get('sample'), -1),
      gradX: await numbers(get('grad_hidden_states'), -1),
      grads: {
        'transformer_blocks.0.attn.to_q.weight': await numbers(get('grad_block0_to_q'), -1),
        'transformer_blocks.2.ff.net.2.weight': await numbers(get('grad_lastblock_ff'), -1),
      },
    };
  };
  return {
    config: toTransformerConfig(transformerSchema.parse(json)),
    tensors: await loadTensors(join(sd35, 'transformer/diffusion_pytorch_model.safetensors')),
    goldens: { square: await golden('square'), wide: await golden('wide') },
  };
}

/** One of other shapes, with the golden `only`. */
export async function otherTransformer(name: 'three-heads' | 'dual-last'): Promise<Transformer> {
  const path = join(fixtures, 'sd3-shapes', `${name}.safetensors`);
  const stored: unknown = JSON.parse((await readHeader(path)).metadata['config']!);
  const all = await loadTensors(path);
  const tensors: Tensors = {},
    golden: Tensors = {};
  for (const [key, tensor] of Object.entries(all)) {
    if (key.startsWith('golden.')) golden[key.slice('golden.'.length)] = tensor;
    else tensors[key] = tensor;
  }
  const grads: Record<string, number[]> = {};
  for (const key of Object.keys(golden)) {
    if (key.startsWith('grad.') && key !== 'grad.x') grads[key.slice('grad.'.length)] = await numbers(golden[key]);
  }
  return {
    config: toTransformerConfig(
      transformerSchema.parse({ _class_name: 'SD3Transformer2DModel', ...(stored as object) }),
    ),
    tensors,
    goldens: {
      only: {
        x: golden['x']!,
        t: Float32Array.from(await numbers(golden['t'])),
        conditioning: [golden['embeddings']!, golden['pooled']!],
        upstream: golden['upstream']!,
        velocity: await numbers(golden['velocity']),
        gradX: await numbers(golden['grad.x']),
        grads,
      },
    },
  };
}

type LoadOptions = Parameters<ReturnType<typeof binding>['loadSd3Model']>[0];

export const loadSd3 = (
  { config, tensors }: Pick<Transformer, 'config' | 'tensors'>,
  options: Partial<LoadOptions> = {},
): Promise<NativeFlowModel> =>
  binding().loadSd3Model({
    config,
    tensors,
    autoencoder: undefined,
    lora: undefined,
    dtype: undefined,
    device: 'cpu',
    checkpointing: false,
    ...options,
  });

/** Of the adapter in lora_peft. */
export const sd35Lora: LoraConfig = {
  rank: 4,
  alpha: 8,
  seed: 3n,
  targets: ['to_q', 'to_k', 'to_v', 'to_out.0', 'add_q_proj', 'add_k_proj', 'add_v_proj', 'to_add_out'].map(
    (name) => `attn.${name}`,
  ),
};

/** The published names and shapes of a configuration's tensors, all of them random. */
export async function randomTensors(config: Sd3TransformerConfig): Promise<Tensors> {
  const width = config.heads * config.headDim;
  const values = config.inChannels * config.patchSize ** 2;
  const tensors: Tensors = {};
  let stream = 500n;
  const add = async (name: string, shape: number[], scale: number): Promise<void> => {
    tensors[name] = await binding().weightedSum([await normal(shape, stream++)], [scale]);
  };
  const linear = async (name: string, outputs: number, inputs: number): Promise<void> => {
    await add(`${name}.weight`, [outputs, inputs], 1 / Math.sqrt(inputs));
    await add(`${name}.bias`, [outputs], 0.1);
  };
  await add('pos_embed.pos_embed', [1, config.posEmbedMaxSize ** 2, width], 0.5);
  await add(
    'pos_embed.proj.weight',
    [width, config.inChannels, config.patchSize, config.patchSize],
    1 / Math.sqrt(values),
  );
  await add('pos_embed.proj.bias', [width], 0.1);
  await linear('time_text_embed.timestep_embedder.linear_1', width, 256);
  await linear('time_text_embed.timestep_embedder.linear_2', width, width);
  await linear('time_text_embed.text_embedder.linear_1', width, config.pooledProjectionDim);
  await linear('time_text_embed.text_embedder.linear_2', width, width);
  await linear('context_embedder', width, config.jointAttentionDim);
  for (let layer = 0; layer < config.layers; layer++) {
    const block = `transformer_blocks.${layer}`;
    const last = layer === config.layers - 1,
      dual = config.dualAttentionLayers.includes(layer);
    await linear(`${block}.norm1.linear`, (dual ? 9 : 6) * width, width);
    await linear(`${block}.norm1_context.linear`, (last ? 2 : 6) * width, width);
    for (const name of [
      'to_q',
      'to_k',
      'to_v',
      'to_out.0',
      'add_q_proj',
      'add_k_proj',
      'add_v_proj',
      ...(last ? [] : ['to_add_out']),
    ]) {
      await linear(`${block}.attn.${name}`, width, width);
    }
    for (const name of dual ? ['to_q', 'to_k', 'to_v', 'to_out.0'] : [])
      await linear(`${block}.attn2.${name}`, width, width);
    if (config.qkNorm) {
      const norms = [
        ...['norm_q', 'norm_k', 'norm_added_q', 'norm_added_k'].map((name) => `attn.${name}`),
        ...(dual ? ['attn2.norm_q', 'attn2.norm_k'] : []),
      ];
      for (const name of norms) await add(`${block}.${name}.weight`, [config.headDim], 1);
    }
    for (const name of last ? ['ff'] : ['ff', 'ff_context']) {
      await linear(`${block}.${name}.net.0.proj`, 4 * width, width);
      await linear(`${block}.${name}.net.2`, width, 4 * width);
    }
  }
  await linear('norm_out.linear', 2 * width, width);
  await linear('proj_out', values, width);
  return tensors;
}
