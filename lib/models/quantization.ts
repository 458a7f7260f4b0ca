import { ConfigError } from '../errors.js';

/** Refuses the configuration of a component whose weights are stored in 8 bits or fewer. @throws ConfigError */
export function refuseQuantized(json: unknown, path: string): void {
  const { quantization_config: settings } = (json ?? {}) as { quantization_config?: unknown };
  if (typeof settings !== 'object' || settings === null) return;
  const { quant_method: method, load_in_4bit: four } = settings as { quant_method?: unknown; load_in_4bit?: unknown };
  const kind = typeof method === 'string' ? ` (${method}${four === true ? ', 4 bits' : ''})` : '';
  throw new ConfigError(
    `${path}: quantization_config: its weights are quantized${kind}, and such are not read; take the model's weights ` +
      'in float32, bfloat16 or float16',
  );
}
