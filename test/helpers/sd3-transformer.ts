// Transformers of Stable Diffusion 3 with tiny random weights, and what diffusers computes with them.
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';

import { toTransformerConfig, transformerSchema } from '../../lib/models/sd3/config.js';
import { binding } from '../../lib/runtime/native/index.js';
import type {
  LoraConfig,
  NativeFlowModel,
  NetworkParts,
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
  /** The gradients of trainable tensors, by name. */
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
  const tensors: Tensors = {};
  const golden: Tensors = {};
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

type LoadOptions = Omit<NetworkParts<'sd3'>, 'config'>;

export const loadSd3 = (
  { config, tensors }: Pick<Transformer, 'config' | 'tensors'>,
  options: Partial<LoadOptions> = {},
): Promise<NativeFlowModel> => binding().loadNetwork('sd3', { config, weights: tensors, device: 'cpu', ...options });

/** The settings of the adapter in lora_peft. */
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
  const tensors: Tensors = {};
  let stream = 500n;
  for (const [name, shape] of Object.entries(binding().networkLayout('sd3', config).tensors)) {
    const inputs = shape.slice(1).reduce((product, length) => product * length, 1);
    const scale = name === 'pos_embed.pos_embed' ? 0.5 : name.endsWith('.bias') ? 0.1 : 1 / Math.sqrt(inputs);
    tensors[name] = await binding().weightedSum([await normal(shape, stream++)], [scale]);
  }
  return tensors;
}
