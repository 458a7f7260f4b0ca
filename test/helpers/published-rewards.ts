// The tiny directories of published rewards, loaded without what reads their configurations.
import { readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';

import type {
  ClipRewardConfig,
  ClipTextConfig,
  ClipVisionConfig,
  DType,
  ImagePreprocessConfig,
  NativeImageReward,
  NativeTensor,
} from '../../lib/runtime/native/binding.js';
import { binding } from '../../lib/runtime/native/index.js';
import { loadTensors } from '../../lib/files/safetensors.js';

type Tensors = Record<string, NativeTensor>;

export const rewardFile = (path: string): string =>
  fileURLToPath(new URL(`../fixtures/rewards-tiny/${path}`, import.meta.url));
const json = (path: string) => JSON.parse(readFileSync(rewardFile(path), 'utf8'));

export interface LoadOptions {
  dtype?: DType;
  preprocess?: Partial<ImagePreprocessConfig>;
  /** What the file's tensors become before they are loaded. */
  edit?: (tensors: Tensors) => void;
  vision?: Partial<ClipVisionConfig>;
  /** The tensors of a linear stack, in place of its file's. */
  head?: Tensors;
}

const preprocess = (options: LoadOptions, fit: 'crop' | 'pad', size: number): ImagePreprocessConfig => ({
  fit,
  size,
  bytes: false,
  mean: [0.48145466, 0.4578275, 0.40821073],
  std: [0.26862954, 0.26130258, 0.27577711],
  ...options.preprocess,
});
const edited = (tensors: Tensors, options: LoadOptions): Tensors => {
  options.edit?.(tensors);
  return tensors;
};

/** Sizes of a Hugging Face configuration. */
function clipConfigs(directory: string): { vision: ClipVisionConfig; text: ClipTextConfig } {
  const { projection_dim: projection, vision_config: vision, text_config: text } = json(`${directory}/config.json`);
  const tower = (config: Record<string, number & ('gelu' | 'quick_gelu')>) => ({
    width: config['hidden_size']!,
    intermediate: config['intermediate_size']!,
    layers: config['num_hidden_layers']!,
    heads: config['num_attention_heads']!,
    activation: config['hidden_act']!,
    layerNormEpsilon: config['layer_norm_eps']!,
    projection,
  });
  return {
    vision: { ...tower(vision), imageSize: vision.image_size, patchSize: vision.patch_size },
    text: {
      ...tower(text),
      vocabulary: text.vocab_size,
      positions: text.max_position_embeddings,
      eosToken: text.eos_token_id,
    },
  };
}

async function loadClip(
  directory: string,
  kind: ClipRewardConfig['kind'],
  options: LoadOptions,
  head: Tensors = {},
): Promise<NativeImageReward> {
  const { vision, text } = clipConfigs(directory);
  const tensors = edited(await loadTensors(rewardFile(`${directory}/model.safetensors`)), options);
  const ofHead = Object.entries(options.head ?? head).map(([name, tensor]) => [`head.${name}`, tensor] as const);
  return binding().loadNetwork('clip-reward', {
    config: {
      vision: { ...vision, ...options.vision },
      text: kind === 'linear-stack' ? undefined : text,
      preprocess: preprocess(options, 'crop', vision.imageSize),
      kind,
      layout: 'transformers',
    },
    weights: { ...tensors, ...Object.fromEntries(ofHead) },
    dtype: options.dtype,
    device: 'cpu',
  });
}

async function loadHpsv2(options: LoadOptions): Promise<NativeImageReward> {
  const { embed_dim: projection, vision_cfg: vision, text_cfg: text } = json('hpsv2/open_clip_config.json');
  const tower = (config: Record<string, number>) => ({
    width: config['width']!,
    intermediate: 4 * config['width']!,
    layers: config['layers']!,
    activation: 'gelu' as const,
    layerNormEpsilon: 1e-5,
    projection,
  });
  const file = await binding().readTorchFile(rewardFile('hpsv2/HPS_v2.1_compressed.pt'));
  const tensors = Object.fromEntries(
    Object.entries(file).map(([name, tensor]) => [name.replace('state_dict.', ''), tensor]),
  );
  return binding().loadNetwork('clip-reward', {
    config: {
      vision: {
        ...tower(vision),
        heads: vision.width / vision.head_width,
        imageSize: vision.image_size,
        patchSize: vision.patch_size,
        ...options.vision,
      },
      text: {
        ...tower(text),
        heads: text.heads,
        vocabulary: text.vocab_size,
        positions: text.context_length,
      },
      preprocess: preprocess(options, 'pad', vision.image_size),
      kind: 'cosine',
      layout: 'open_clip',
    },
    weights: edited(tensors, options),
    dtype: options.dtype,
    device: 'cpu',
  });
}

async function loadImageReward(options: LoadOptions): Promise<NativeImageReward> {
  const config = json('imagereward/med_config.json');
  const { vision } = config;
  return binding().loadNetwork('blip-reward', {
    config: {
      vision: {
        imageSize: vision.image_size,
        patchSize: vision.patch_size,
        width: config.encoder_width,
        intermediate: 4 * config.encoder_width,
        layers: vision.depth,
        heads: vision.num_heads,
        layerNormEpsilon: 1e-6,
      },
      text: {
        vocabulary: config.vocab_size,
        width: config.hidden_size,
        intermediate: config.intermediate_size,
        layers: config.num_hidden_layers,
        heads: config.num_attention_heads,
        positions: config.max_position_embeddings,
        layerNormEpsilon: config.layer_norm_eps,
        encoderWidth: config.encoder_width,
      },
      preprocess: preprocess(options, 'crop', vision.image_size),
      mean: 0.16717362830052426,
      std: 1.0333394966054072,
    },
    weights: edited(await binding().readTorchFile(rewardFile('imagereward/ImageReward.pt')), options),
    dtype: options.dtype,
    device: 'cpu',
  });
}

const linearStack = (): Promise<Tensors> =>
  binding().readTorchFile(rewardFile('aesthetic/sac+logos+ava1-l14-linearMSE.pth'));

/** By the names of their directories. */
export const tinyRewards = {
  pickscore: (options: LoadOptions = {}) => loadClip('pickscore', 'scaled-cosine', options),
  clipscore: (options: LoadOptions = {}) => loadClip('clipscore', 'cosine', options),
  hpsv2: (options: LoadOptions = {}) => loadHpsv2(options),
  imagereward: (options: LoadOptions = {}) => loadImageReward(options),
  aesthetic: async (options: LoadOptions = {}) => loadClip('clipscore', 'linear-stack', options, await linearStack()),
};
export type TinyReward = keyof typeof tinyRewards;
export const tinyRewardNames = Object.keys(tinyRewards) as TinyReward[];
