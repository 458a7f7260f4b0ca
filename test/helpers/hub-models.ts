// Repositories of a hub that a test makes: the tiny Stable Diffusion 3, and a pipeline with what a task does not need.
import { randomBytes } from 'node:crypto';

import { contents } from './hub-home.js';
import { tinySd3 } from './sd3.js';

/** The tiny Stable Diffusion 3's own files, without the goldens and adapters beside them. */
export function tinySd3Files(): Record<string, Buffer> {
  const own = Object.entries(contents(tinySd3)).filter(([path]) => !/^(goldens|lora_)/.test(path));
  return Object.fromEntries(own);
}

const index = {
  _class_name: 'StableDiffusion3Pipeline',
  _diffusers_version: '0.36.0',
  scheduler: ['diffusers', 'FlowMatchEulerDiscreteScheduler'],
  text_encoder: ['transformers', 'CLIPTextModelWithProjection'],
  text_encoder_2: [null, null],
  tokenizer: ['transformers', 'CLIPTokenizer'],
  transformer: ['diffusers', 'SD3Transformer2DModel'],
};

const shards = ['00001-of-00002', '00002-of-00002'].map((number) => `diffusion_pytorch_model-${number}.safetensors`);
const shardIndex = JSON.stringify({ weight_map: { a: shards[0], b: shards[1] } });
export const weights = randomBytes(200_000);

/** What a task needs of {@link pipeline}. */
export const needed: Record<string, string | Buffer> = {
  'model_index.json': JSON.stringify(index),
  'scheduler/scheduler_config.json': '{}',
  'text_encoder/config.json': '{"hidden_size": 8}',
  'text_encoder/model.safetensors': weights,
  'tokenizer/merges.txt': '#version: 0.2\n',
  'tokenizer/vocab.json': '{"a": 0}',
  'transformer/config.json': '{}',
  'transformer/diffusion_pytorch_model.safetensors.index.json': shardIndex,
  [`transformer/${shards[0]}`]: randomBytes(3000),
  [`transformer/${shards[1]}`]: randomBytes(2000),
};

/** A pipeline as they are published: the same weights in other precisions, for other frameworks, as a single file. */
export const pipeline: Record<string, string | Buffer> = {
  ...needed,
  '.gitattributes': '*.safetensors filter=lfs\n',
  'README.md': '# A model\n',
  'one_model.safetensors': randomBytes(5000),
  'text_encoder/flax_model.msgpack': 'flax',
  'text_encoder/model.fp16.safetensors': randomBytes(1000),
  'text_encoder/pytorch_model.bin': randomBytes(1000),
  'text_encoders/another.safetensors': randomBytes(1000),
  'transformer/diffusion_pytorch_model.fp16.safetensors': randomBytes(1000),
};
