import { join } from 'node:path';

import { CheckpointError } from '../../errors.js';
import { saveTensors } from '../../files/safetensors.js';
import type { Tensor } from '../../runtime/native/tensor.js';
import type { AdapterInfo } from '../model.js';
import { type AdapterSettings, readLoraSettings } from './settings.js';

// Diffusers' layout: what `pipeline.load_lora_weights` reads. It takes alpha from the metadata alone (a tensor of alpha
// it refuses for Stable Diffusion 3), and without it alpha = rank.
export const diffusersTensors = 'pytorch_lora_weights.safetensors';
const prefix = 'transformer.';
/** Where diffusers keeps PEFT's settings, as JSON in the file's metadata, their keys behind the prefix. */
const metadataKey = 'lora_adapter_metadata';
/** The first diffusers that reads them (its pull request 11324): alpha is the rank to those before. */
const readingAlpha = '0.34';

/** The settings in a file's metadata, if any. @throws CheckpointError where they are of no plain LoRA */
export function settingsInMetadata(
  metadata: Readonly<Record<string, string>>,
  path: string,
): AdapterSettings | undefined {
  const text = metadata[metadataKey];
  const json = text === undefined ? undefined : parse(text, path);
  return json && readLoraSettings(json, `${path}, ${metadataKey}`);
}

/** @param tensors under the names of the network's trainable tensors */
export async function writeDiffusers(
  directory: string,
  tensors: Readonly<Record<string, Tensor>>,
  { rank, alpha, targets }: AdapterInfo,
  base: string | undefined,
): Promise<void> {
  // No layer has a rank of its own, so that the pattern is empty. Without its key, diffusers 0.34 to 0.39 stop with a
  // KeyError.
  const settings = {
    r: rank,
    lora_alpha: alpha,
    rank_pattern: {},
    target_modules: targets,
    base_model_name_or_path: base,
  };
  const named = (record: object) =>
    Object.fromEntries(Object.entries(record).map(([name, value]) => [prefix + name, value]));
  const metadata = { format: 'pt', [metadataKey]: JSON.stringify(named(settings)) };
  await saveTensors(join(directory, diffusersTensors), named(tensors), metadata);
}

/** What the user should know of an adapter that was written in this layout. */
export function diffusersNote(directory: string, { rank, alpha }: AdapterInfo): string | undefined {
  if (alpha === rank) return undefined;
  return (
    `${directory}: alpha ${alpha} of rank ${rank} needs diffusers ${readingAlpha} or newer; an older one takes ` +
    'alpha to be the rank, ' +
    `which is the adapter at ${Number((rank / alpha).toPrecision(3))} of its strength: there, call ` +
    `pipeline.set_adapters(NAME, ${Number((alpha / rank).toPrecision(3))})`
  );
}

/** The settings of the transformer's adapter; undefined where there are only those of other parts. */
function parse(text: string, path: string): object | undefined {
  try {
    const settings = Object.entries(JSON.parse(text) as object)
      .filter(([key]) => key.startsWith(prefix))
      .map(([key, value]) => [key.slice(prefix.length), value as unknown] as const);
    return settings.length ? Object.fromEntries(settings) : undefined;
  } catch (error) {
    throw new CheckpointError(`${path}: ${metadataKey} in its metadata is not JSON: ${(error as Error).message}`, {
      cause: error,
    });
  }
}
