import { mkdir } from 'node:fs/promises';
import { join } from 'node:path';

import { z } from 'zod';

import { hasManifest, replaceFile, verifyCheckpoint } from '../checkpoints.js';
import { readJson } from '../config/read.js';
import { CheckpointError, ConfigError } from '../errors.js';
import type { NativeFlowModel } from '../native/binding.js';
import { disposeAll, readTensors, saveTensors } from '../safetensors.js';
import type { Tensor } from '../tensor.js';
import type { AdapterInfo } from './model.js';

/** PEFT's layout: what `peft.PeftModel.from_pretrained` and diffusers read. */
const tensorsFile = 'adapter_model.safetensors';
const configFile = 'adapter_config.json';
const prefix = 'base_model.model.';

const configSchema = z.object({
  peft_type: z.literal('LORA'),
  r: z.int().min(1),
  lora_alpha: z.number(),
  target_modules: z.array(z.string()).min(1),
  base_model_name_or_path: z.string().nullish(),
});

export interface AdapterConfig extends AdapterInfo {
  /** The model it was trained on, where the file says so. */
  base: string | undefined;
}

/** @throws CheckpointError if the directory holds no adapter */
export async function readAdapterConfig(directory: string): Promise<AdapterConfig> {
  const path = join(directory, configFile);
  let json: unknown;
  try {
    json = await readJson(path);
  } catch (error) {
    if (!(error instanceof ConfigError)) throw error;
    throw new CheckpointError(`${directory} holds no adapter: ${error.message}`, { cause: error });
  }
  const parsed = configSchema.safeParse(json);
  if (!parsed.success) {
    const issue = parsed.error.issues[0]!;
    throw new CheckpointError(`${path} is not the configuration of a LoRA adapter: ${issue.path.join('.')}: ${issue.message}`);
  }
  const { r, lora_alpha, target_modules, base_model_name_or_path } = parsed.data;
  return { rank: r, alpha: lora_alpha, targets: target_modules, base: base_model_name_or_path ?? undefined };
}

export async function writeAdapter(
  directory: string,
  tensors: Readonly<Record<string, Tensor>>,
  adapter: AdapterInfo,
  base: string,
): Promise<void> {
  await mkdir(directory, { recursive: true });
  const named = Object.fromEntries(Object.entries(tensors).map(([name, tensor]) => [prefix + name, tensor]));
  await saveTensors(join(directory, tensorsFile), named, { format: 'pt' });
  const config = {
    peft_type: 'LORA',
    task_type: null,
    base_model_name_or_path: base,
    r: adapter.rank,
    lora_alpha: adapter.alpha,
    lora_dropout: 0,
    bias: 'none',
    fan_in_fan_out: false,
    inference_mode: true,
    target_modules: adapter.targets,
  };
  await replaceFile(join(directory, configFile), `${JSON.stringify(config, null, 2)}\n`);
}

/**
 * Checks that an adapter is of the rank and alpha of a network's: alpha is in no tensor's shape.
 * @throws CheckpointError that says what differs
 */
export async function checkAdapter(directory: string, adapter: AdapterInfo): Promise<void> {
  const stored = await readAdapterConfig(directory);
  if (stored.rank !== adapter.rank || stored.alpha !== adapter.alpha) {
    throw new CheckpointError(
      `${directory} holds an adapter of rank ${stored.rank} and alpha ${stored.alpha}, ` +
        `the model has one of rank ${adapter.rank} and alpha ${adapter.alpha}`,
    );
  }
}

/** Copies an adapter's tensors into a network that has one of the same rank, alpha and targets, which the names tell. */
export async function readAdapter(directory: string, native: NativeFlowModel, adapter: AdapterInfo): Promise<void> {
  // A checkpoint's adapter is that of its manifest or none; an adapter from elsewhere has no manifest.
  if (await hasManifest(directory)) await verifyCheckpoint(directory, [configFile, tensorsFile]);
  await checkAdapter(directory, adapter);
  const path = join(directory, tensorsFile);
  const tensors = await readTensors(path);
  try {
    const named = Object.entries(tensors).map(([name, tensor]) => {
      if (!name.startsWith(prefix)) {
        throw new CheckpointError(`${path}: tensor "${name}" does not start with "${prefix}": not PEFT's layout`);
      }
      return [name.slice(prefix.length), tensor] as const;
    });
    await native.load('trainable', Object.fromEntries(named));
  } finally {
    disposeAll(tensors);
  }
}
