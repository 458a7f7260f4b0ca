import { extname, resolve } from 'node:path';

import { ConfigError, isError } from '../../errors.js';
import { importAnew } from '../../runtime/import-module.js';
import { readJson } from '../../schema/json.js';
import { expected } from '../../schema/validate.js';

/** Names of files whose default export is a configuration, or a function that returns one. */
const codeNames = ['.ts', '.mts', '.cts', '.js', '.mjs', '.cjs'];

/**
 * Reads a file of a configuration: JSON, with comments and trailing commas, or TypeScript or JavaScript, of which the
 * default export counts.
 * @throws ConfigError for a file that is missing, is not JSON or cannot be run, and for code that exports nothing
 */
export async function readConfigFile(path: string): Promise<unknown> {
  if (!codeNames.includes(extname(path).toLowerCase())) return readJson(path, { comments: true });
  const exported = await importDefault(path);
  const config: unknown = isFunction(exported) ? await runFunction(path, exported) : exported;
  if (typeof config === 'object' && config !== null) return config;
  const what = isFunction(exported) ? 'a function that returns a configuration' : 'a configuration';
  throw new ConfigError(
    expected(`${path}: the default export`, what, config === undefined ? 'nothing' : typeof config),
  );
}

/** The default export of a module in TypeScript or JavaScript, for which `eam-torch` is this package. */
async function importDefault(path: string): Promise<unknown> {
  try {
    return (await importAnew(resolve(path)))['default'];
  } catch (error) {
    throw new ConfigError(`${path} could not be run: ${messageOf(error)}`, { cause: error });
  }
}

const isFunction = (value: unknown): value is () => unknown => typeof value === 'function';

async function runFunction(path: string, make: () => unknown): Promise<unknown> {
  try {
    return await make();
  } catch (error) {
    throw new ConfigError(`${path}: its function failed: ${messageOf(error)}`, { cause: error });
  }
}

const messageOf = (error: unknown): string => (isError(error) ? error.message.trim() : String(error));
