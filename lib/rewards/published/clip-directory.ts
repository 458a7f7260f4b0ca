import { readdir } from 'node:fs/promises';

import { z } from 'zod';

import { expected, validate } from '../../schema/validate.js';
import { CheckpointError, ConfigError } from '../../errors.js';
import type { ClipTextConfig, ClipVisionConfig, ImagePreprocessConfig } from '../../runtime/native/binding.js';
import { readHeader } from '../../files/safetensors.js';
import { locateWeights } from '../../models/component-weights.js';
import { refuseQuantized } from '../../models/quantization.js';
import { PublishedDirectory } from './directory.js';

const size = z.int().min(1);
const activation = z.enum(['gelu', 'quick_gelu']);

/** Defaults are those of transformers' CLIPConfig: published files leave out what equals them. */
const towerSchema = {
  num_hidden_layers: size.default(12),
  hidden_act: activation.default('quick_gelu'),
  layer_norm_eps: z.number().gt(0).default(1e-5),
};
const textSchema = z.object({
  ...towerSchema,
  hidden_size: size.default(512),
  intermediate_size: size.default(2048),
  num_attention_heads: size.default(8),
  vocab_size: size.default(49408),
  max_position_embeddings: size.default(77),
  eos_token_id: z.int().min(0).default(49407),
});
const visionSchema = z.object({
  ...towerSchema,
  hidden_size: size.default(768),
  intermediate_size: size.default(3072),
  num_attention_heads: size.default(12),
  image_size: size.default(224),
  patch_size: size.default(32),
});
const schema = z.object({
  projection_dim: size.default(512),
  text_config: textSchema.prefault({}),
  vision_config: visionSchema.prefault({}),
});

const normalisation = z.array(z.number()).length(3);
const preprocessorSchema = z.object({
  size: z.union([size, z.object({ shortest_edge: size }), z.object({ height: size, width: size })]).default(224),
  crop_size: z.union([size, z.object({ height: size, width: size })]).default(224),
  /** PIL's number for bicubic. */
  resample: z.literal(3).default(3),
  do_resize: z.literal(true).default(true),
  do_center_crop: z.literal(true).default(true),
  do_normalize: z.literal(true).default(true),
  /** False leaves numbers from 0 to 255, which a tower that was trained on others does not know. */
  do_rescale: z.literal(true).default(true),
  rescale_factor: z
    .number()
    .refine((factor) => Math.abs(255 * factor - 1) < 1e-6, 'expected 1/255')
    .default(1 / 255),
  image_mean: normalisation,
  image_std: normalisation,
});

/** OpenAI's, of the data that CLIP was trained on. */
export const clipNormalisation = {
  mean: [0.48145466, 0.4578275, 0.40821073],
  std: [0.26862954, 0.26130258, 0.27577711],
} as const;

/** A CLIPModel as transformers saves it. */
export interface ClipDirectory {
  directory: PublishedDirectory;
  vision: ClipVisionConfig;
  text: ClipTextConfig;
  preprocess: Omit<ImagePreprocessConfig, 'bytes'>;
  /** The files of its weights. */
  weights: string[];
}

/**
 * Reads config.json, preprocessor_config.json or processor_config.json, and finds the weights: model.safetensors, its
 * shards, or the only variant (`model.fp16.safetensors`).
 * @param expected for messages: 'PickScore, a CLIPModel of transformers'
 * @throws CheckpointError if the files or the model are not those, ConfigError for a configuration that is not one of
 * CLIP
 */
export async function readClipDirectory(path: string, expected: string): Promise<ClipDirectory> {
  const directory = new PublishedDirectory(path, expected);
  const { projection_dim: projection, text_config: text, vision_config: vision } = await readConfig(directory);
  const preprocess = await readPreprocessor(directory, vision.image_size);
  const weights = await weightsOf(directory);
  await checkFamily(weights);
  const tower = (config: z.output<typeof textSchema> | z.output<typeof visionSchema>) => ({
    width: config.hidden_size,
    intermediate: config.intermediate_size,
    layers: config.num_hidden_layers,
    heads: config.num_attention_heads,
    activation: config.hidden_act,
    layerNormEpsilon: config.layer_norm_eps,
    projection,
  });
  return {
    directory,
    vision: { ...tower(vision), imageSize: vision.image_size, patchSize: vision.patch_size },
    text: {
      ...tower(text),
      vocabulary: text.vocab_size,
      positions: text.max_position_embeddings,
      // Configurations from before transformers 4.31 all say 2, which no vocabulary of CLIP's ends with.
      eosToken: text.eos_token_id === 2 ? undefined : text.eos_token_id,
    },
    preprocess,
    weights,
  };
}

/** The files of a CLIPModel's weights. @throws CheckpointError if they are not there */
export const clipWeightsIn = (path: string, expected: string): Promise<string[]> =>
  weightsOf(new PublishedDirectory(path, expected));

async function weightsOf(directory: PublishedDirectory): Promise<string[]> {
  const stem = 'model';
  const names = await readdir(directory.path).catch(() => []);
  if (names.some((name) => name.startsWith(`${stem}.`) && name.includes('.safetensors')))
    return locateWeights(directory.path);
  const hint = directory.has('pytorch_model.bin') ? '; "eam convert" makes it from pytorch_model.bin' : '';
  throw await directory.refusal(`there is no ${stem}.safetensors${hint}`);
}

async function readConfig(directory: PublishedDirectory): Promise<z.output<typeof schema>> {
  const json = await directory.json('config.json');
  refuseQuantized(json, directory.file('config.json'));
  const config = { ...(json as Record<string, unknown>) };
  const { model_type: type, architectures } = config;
  if (type !== 'clip') {
    const found = JSON.stringify(type ?? config['_class_name'] ?? architectures ?? null);
    throw await directory.refusal(`config.json is of model_type ${found}, not "clip"`);
  }
  if (Array.isArray(architectures) && !architectures.includes('CLIPModel')) {
    throw await directory.refusal(
      `config.json is of ${architectures.join(', ')}, not CLIPModel: both towers are needed`,
    );
  }
  // The first published files have the towers' settings a second time, and transformers lets these win.
  for (const tower of ['text_config', 'vision_config']) {
    config[tower] = { ...(config[tower] as object | null), ...(config[`${tower}_dict`] as object | null) };
  }
  return validate(schema, withoutNulls(config), directory.file('config.json'));
}

async function readPreprocessor(
  directory: PublishedDirectory,
  imageSize: number,
): Promise<Omit<ImagePreprocessConfig, 'bytes'>> {
  const { path, json } = await preprocessorOf(directory);
  const config = validate(preprocessorSchema, withoutNulls(json), path);
  const sides = [config.size, config.crop_size].flatMap((value) =>
    typeof value === 'number' ? [value] : Object.values(value),
  );
  if (sides.some((side) => side !== imageSize)) {
    throw new ConfigError(
      expected(`${path}: size and crop_size`, `vision_config's image_size, ${imageSize}`, sides.join(', ')),
    );
  }
  return { fit: 'crop', size: imageSize, mean: config.image_mean, std: config.image_std };
}

/** The image processor's settings. As in transformers 5, those in processor_config.json come before their own file. */
async function preprocessorOf(directory: PublishedDirectory): Promise<{ path: string; json: unknown }> {
  const [own, whole] = ['preprocessor_config.json', 'processor_config.json'];
  if (directory.has(whole)) {
    const { image_processor: json } = (await directory.json(whole)) as { image_processor?: unknown };
    if (json !== undefined) return { path: `${directory.file(whole)}, image_processor`, json };
  }
  if (!directory.has(own)) throw await directory.refusal(`there is no ${own}, nor a ${whole} with an image_processor`);
  return { path: directory.file(own), json: await directory.json(own) };
}

/** What a missing key would say of a file of another family is a list of hundreds. */
async function checkFamily(files: readonly string[]): Promise<void> {
  const headers = await Promise.all(files.map(readHeader));
  const names = headers.flatMap(({ entries }) => entries.map(({ name }) => name));
  const missing = ['vision_model.', 'text_model.'].filter((prefix) => !names.some((name) => name.startsWith(prefix)));
  if (missing.length === 0) return;
  throw new CheckpointError(
    expected(
      files.join(', '),
      `the tensors of a CLIPModel, ${missing.map((prefix) => `${prefix}*`).join(' and ')} among them`,
      `${names.length} others, the first ${names.slice(0, 4).join(', ')}`,
    ),
  );
}

/** null stands for the default in transformers' files. */
function withoutNulls(value: unknown): unknown {
  if (typeof value !== 'object' || value === null || Array.isArray(value)) return value;
  return Object.fromEntries(
    Object.entries(value)
      .filter(([, entry]) => entry !== null)
      .map(([key, entry]) => [key, withoutNulls(entry)]),
  );
}
