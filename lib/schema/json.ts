import { expected } from './validate.js';
import { ConfigError } from '../errors.js';
import { jsonProblem, withoutSecrets } from './secrets.js';
import { readText } from './text.js';

/**
 * Reads a JSON file, in UTF-8 or in UTF-16 with its byte order mark.
 * @throws ConfigError if it is missing, is not JSON or only a pointer of Git LFS to it
 */
export async function readJson(path: string): Promise<unknown> {
  const text = await readText(path);
  try {
    return JSON.parse(text);
  } catch (error) {
    throw new ConfigError(`${path} is not valid JSON: ${jsonProblem(error)}`);
  }
}

/**
 * Applies `key=value` settings to a configuration: keys are dotted paths (`algorithm.C=1.2`, `rewards.0.weight=2`),
 * values are JSON where they parse as JSON and strings otherwise.
 * @throws ConfigError for a setting without `=`, or a path through something that is not an object or an array
 */
export function applyOverrides(config: unknown, settings: readonly string[]): unknown {
  const result = structuredClone(config);
  for (const setting of settings) {
    const split = setting.indexOf('=');
    if (split < 1)
      throw new ConfigError(
        expected('--set', 'key=value, such as optimizer.learningRate=1e-3', withoutSecrets(setting)),
      );
    const path = setting.slice(0, split).split('.');
    let node = result;
    for (const [depth, key] of path.entries()) {
      if (typeof node !== 'object' || node === null || key === '__proto__') {
        throw new ConfigError(
          `--set ${withoutSecrets(setting)}: ${path.slice(0, depth).join('.') || 'the configuration'} is not an object`,
        );
      }
      if (depth === path.length - 1) {
        Reflect.set(node, key, parseValue(setting.slice(split + 1)));
      } else {
        if (!Object.hasOwn(node, key)) Reflect.set(node, key, {});
        node = Reflect.get(node, key);
      }
    }
  }
  return result;
}

function parseValue(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return text;
  }
}
