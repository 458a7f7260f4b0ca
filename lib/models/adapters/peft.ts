import { join } from 'node:path';

import { replaceFile } from '../../files/checkpoints.js';
import { readJson } from '../../schema/json.js';
import { CheckpointError, ConfigError } from '../../errors.js';
import { readHeader, saveTensors } from '../../files/safetensors.js';
import { adaptedModules, type AdapterLayout } from './layout.js';
import { readLoraSettings } from './settings.js';
import { expected } from '../../schema/validate.js';

const tensorsFile = 'adapter_model.safetensors';
const configFile = 'adapter_config.json';
const prefix = 'base_model.model.';

/** PEFT's layout: what `peft.PeftModel.from_pretrained` reads. */
export const peftLayout: AdapterLayout = {
  name: 'peft',
  tensorsFile,
  files: [configFile, tensorsFile],
  prefix,

  async readConfig(directory) {
    const path = join(directory, configFile);
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
    const { targets, ...settings } = readLoraSettings(json, path);
    const modules = async () => {
      const tensors = join(directory, tensorsFile);
      return adaptedModules((await readHeader(tensors)).entries, prefix, settings.rank, tensors).modules;
    };
    return { ...settings, targets: targets ?? (await modules()), layout: 'peft', alphaAssumed: false };
  },

  async write(directory, tensors, adapter, base) {
    const named = Object.fromEntries(Object.entries(tensors).map(([name, tensor]) => [prefix + name, tensor]));
    await saveTensors(join(directory, tensorsFile), named, { format: 'pt' });
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
    await replaceFile(join(directory, configFile), `${JSON.stringify(config, null, 2)}\n`);
  },
};
