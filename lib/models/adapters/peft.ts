import { join } from 'node:path';

import { replaceFile } from '../../files/checkpoints.js';
import { readJson } from '../../schema/json.js';
import { CheckpointError, ConfigError } from '../../errors.js';
import { saveTensors } from '../../files/safetensors.js';
import type { Tensor } from '../../runtime/native/tensor.js';
import { expected } from '../../schema/validate.js';
import type { AdapterInfo } from '../model.js';
import { type AdapterSettings, readLoraSettings } from './settings.js';

// PEFT's layout: what `peft.PeftModel.from_pretrained` reads.
export const peftTensors = 'adapter_model.safetensors';
export const peftConfig = 'adapter_config.json';

/** @throws CheckpointError where there are no settings, or those of another kind of adapter */
export async function readPeftSettings(directory: string): Promise<AdapterSettings> {
  const path = join(directory, peftConfig);
  let json: unknown;
  try {
    json = await readJson(path);
  } catch (error) {
    if (!(error instanceof ConfigError)) throw error;
    throw new CheckpointError(`${directory} holds no adapter: ${error.message}`, { cause: error });
  }
  const type = (json as { peft_type?: unknown } | null)?.peft_type;
  if (type !== 'LORA') {
    throw new CheckpointError(
      `${path} is not the configuration of a LoRA adapter: ` +
        expected('peft_type', '"LORA"', JSON.stringify(type) ?? 'nothing'),
    );
  }
  return readLoraSettings(json, path);
}

/** @param tensors under the names of the network's trainable tensors */
export async function writePeft(
  directory: string,
  tensors: Readonly<Record<string, Tensor>>,
  adapter: AdapterInfo,
  base: string | undefined,
): Promise<void> {
  const named = Object.fromEntries(
    Object.entries(tensors).map(([name, tensor]) => [`base_model.model.${name}`, tensor]),
  );
  await saveTensors(join(directory, peftTensors), named, { format: 'pt' });
  const config = {
    peft_type: 'LORA',
    task_type: null,
    base_model_name_or_path: base ?? null,
    r: adapter.rank,
    lora_alpha: adapter.alpha,
    lora_dropout: 0,
    bias: 'none',
    fan_in_fan_out: false,
    inference_mode: true,
    target_modules: adapter.targets,
  };
  await replaceFile(join(directory, peftConfig), `${JSON.stringify(config, null, 2)}\n`);
}
