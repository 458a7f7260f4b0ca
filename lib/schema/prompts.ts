import { isUtf8 } from 'node:buffer';
import { readFileSync } from 'node:fs';
import { extname } from 'node:path';

import { z } from 'zod';

import { expected } from './validate.js';
import { ConfigError } from '../errors.js';
import { readCsv } from './csv.js';
import { decodeText, isUtf16, pointerProblem } from './text.js';

/** What to draw, in words that the model understands. */
export const promptsSchema = z.array(z.string().min(1)).min(1);

/** Names of files with a JSON object a line. */
const jsonNames = ['.jsonl', '.ndjson', '.json'];

/** Names of files with a table. */
const tableNames = ['.csv', '.tsv'];

const recordSchema = z.object({ prompt: z.string() });

/**
 * Prompts of a configuration: a list, or a file with one a line, of which the list is what is left; so a run's record
 * holds the prompts themselves, and does not depend on the file. Relative paths start at the working directory.
 */
export const promptsOrFileSchema = z
  .preprocess((value, context) => {
    if (typeof value !== 'string') return value;
    try {
      return readPrompts(value);
    } catch (error) {
      if (!(error instanceof ConfigError)) throw error;
      context.addIssue({ code: 'custom', message: error.message, params: { complete: true } });
      return z.NEVER;
    }
  }, promptsSchema)
  .meta({ orFile: true });

/**
 * Reads prompts: of a .jsonl, .ndjson or .json file the "prompt" of the object in each line, or of a .json file that
 * is one list its texts and its objects' "prompt", of a .csv or .tsv file the column "prompt", of any other each line,
 * without the spaces around it. Blank lines are passed over.
 * @throws ConfigError for a file that is missing, empty or no text (UTF-8, or UTF-16 with its byte order mark), a line
 * or an item that is no such object, or a table without that column; it names the line or the item
 */
export function readPrompts(path: string): string[] {
  return readPromptLines(path).map(({ text, json, place }) => (json ? promptOf(text, place) : text));
}

/** A line of a file of prompts, without the spaces around it. */
export interface PromptText {
  text: string;
  /** Whether it is to be a JSON object. */
  json: boolean;
  /** For messages. */
  place: string;
}

/**
 * The lines that are not blank; a table's rows are objects of its columns.
 * @throws ConfigError for a file that is missing, empty or no text, or a table without a column "prompt"
 */
export function readPromptLines(path: string): PromptText[] {
  let bytes: Buffer;
  try {
    bytes = readFileSync(path);
  } catch (error) {
    throw new ConfigError(
      expected(path, 'a list of prompts or a file of them', `nothing that can be read: ${(error as Error).message}`),
      {
        cause: error,
      },
    );
  }
  const lines = linesOf(decode(bytes, path), path);
  if (lines.length === 0) throw new ConfigError(expected(path, 'a prompt a line', 'none'));
  return lines;
}

function linesOf(text: string, path: string): PromptText[] {
  const extension = extname(path).toLowerCase();
  const list = extension === '.json' ? listIn(text, path) : undefined;
  if (list) return list;
  if (tableNames.includes(extension)) {
    const rows = readCsv(text, 'prompt', path);
    return rows.map(({ fields, line }) => ({
      text: JSON.stringify(fields),
      json: true,
      place: `${path}, line ${line}`,
    }));
  }
  const json = jsonNames.includes(extension);
  return text
    .split(/\r\n|\n|\r/)
    .map((line, index) => ({ text: line.trim(), json, place: `${path}, line ${index + 1}` }))
    .filter((line) => line.text !== '');
}

/** The items of a file that is one list, as data sets of prompts are published; undefined for one of lines. */
function listIn(text: string, path: string): PromptText[] | undefined {
  if (!text.trimStart().startsWith('[')) return undefined;
  const list = parseLine(text, path, 'a list of prompts in JSON') as unknown[];
  return list.map((item, index) => {
    const isText = typeof item === 'string' && item.trim() !== '';
    const place = `${path}, item ${index + 1}`;
    return isText ? { text: item.trim(), json: false, place } : { text: JSON.stringify(item), json: true, place };
  });
}

/** @throws ConfigError where a line is no JSON */
export function parseLine(line: string, place: string, what = 'a JSON object'): unknown {
  try {
    return JSON.parse(line);
  } catch (error) {
    throw new ConfigError(expected(place, what, `no JSON: ${(error as Error).message}`), { cause: error });
  }
}

function promptOf(line: string, place: string): string {
  const record = recordSchema.safeParse(parseLine(line, place));
  const prompt = record.success ? record.data.prompt.trim() : '';
  if (prompt === '') throw new ConfigError(expected(place, '{"prompt": "…"}', 'no text there'));
  return prompt;
}

function decode(bytes: Buffer, path: string): string {
  const problem = pointerProblem(bytes);
  if (problem) throw new ConfigError(`${path} ${problem}`);
  if (!isUtf16(bytes) && !isUtf8(bytes)) {
    const { line, byte } = firstInvalid(bytes);
    throw new ConfigError(
      expected(`${path}, line ${line} (byte ${byte} of the file)`, 'UTF-8 text', 'another encoding: save it as UTF-8'),
    );
  }
  let text: string;
  try {
    text = decodeText(bytes);
  } catch (error) {
    throw new ConfigError(expected(path, 'text', 'what begins as UTF-16 and goes on otherwise: save it as UTF-8'), {
      cause: error,
    });
  }
  const zero = text.indexOf('\0');
  if (zero < 0) return text;
  const line = text.slice(0, zero).split(/\r\n|\n|\r/).length;
  throw new ConfigError(
    expected(
      `${path}, line ${line}`,
      'text',
      'a zero byte, as UTF-16 without a byte order mark and files that are no text hold: save it as UTF-8',
    ),
  );
}

/** Where a text stops being UTF-8: its line, from 1, and the byte, from 0. */
function firstInvalid(bytes: Buffer): { line: number; byte: number } {
  let [valid, invalid] = [0, bytes.length];
  // A prefix that ends within a character is not valid either, so the line feeds are what can be told apart.
  for (let line = 1; ; ++line) {
    const end = bytes.indexOf(0x0a, valid);
    const rest = bytes.subarray(valid, end < 0 ? invalid : end);
    if (!isUtf8(rest)) return { line, byte: valid + validPrefix(rest) };
    valid = end + 1;
  }
}

/** Bytes of whole characters before the first that is none. */
function validPrefix(bytes: Buffer): number {
  let length = 0;
  while (length < bytes.length) {
    const size = [1, 2, 3, 4].find(
      (count) => length + count <= bytes.length && isUtf8(bytes.subarray(length, length + count)),
    );
    if (size === undefined) break;
    length += size;
  }
  return length;
}
