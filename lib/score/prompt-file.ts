import { readFile } from 'node:fs/promises';

import { ConfigError } from '../errors.js';

/** A line of a file of prompts. */
export interface PromptLine {
  prompt: string;
  /** The image it belongs to, where the file says so. */
  file?: string;
}

/**
 * Reads prompts: one a line, or lines of JSON, {"prompt": …} or {"file": …, "prompt": …}. Empty lines are skipped.
 * @throws ConfigError for a file that is missing, empty or mixes the two, with the line's number
 */
export async function readPromptFile(path: string): Promise<PromptLine[]> {
  let text: string;
  try {
    text = await readFile(path, 'utf8');
  } catch (error) {
    throw new ConfigError(`cannot read ${path}: ${(error as Error).message}`, { cause: error });
  }
  const lines = text
    .split(/\r?\n/)
    .map((line, index) => ({ line: line.trim(), where: `${path}, line ${index + 1}` }))
    .filter(({ line }) => line !== '');
  if (lines.length === 0) throw new ConfigError(`${path} has no prompts; expected one a line`);
  const json = lines[0]!.line.startsWith('{');
  return lines.map(({ line, where }) => (json ? parse(line, where) : { prompt: line }));
}

function parse(line: string, where: string): PromptLine {
  let value: { prompt?: unknown; file?: unknown } | null;
  try {
    value = JSON.parse(line) as typeof value;
  } catch (error) {
    throw new ConfigError(`${where} is no JSON: ${(error as Error).message}`, { cause: error });
  }
  const { prompt, file } = value ?? {};
  if (typeof prompt !== 'string' || (file !== undefined && typeof file !== 'string')) {
    throw new ConfigError(`${where}: expected {"prompt": "…"} or {"file": "….png", "prompt": "…"}, got ${line.slice(0, 80)}`);
  }
  return { prompt, ...(file !== undefined && { file }) };
}
