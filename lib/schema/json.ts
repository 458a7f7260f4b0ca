import { createScanner, parse, SyntaxKind, type ParseError } from 'jsonc-parser';

import { expected } from './validate.js';
import { ConfigError } from '../errors.js';
import { jsonProblem, withoutSecrets } from './secrets.js';
import { readText } from './text.js';

/**
 * Reads a JSON file, in UTF-8 or in UTF-16 with its byte order mark.
 * @param options `comments`: comments, and a comma after the last entry, are passed over, as editors write JSON
 * @throws ConfigError if it is missing, is not JSON or only a pointer of Git LFS to it
 */
export async function readJson(path: string, { comments = false } = {}): Promise<unknown> {
  const text = await readText(path);
  try {
    return JSON.parse(comments ? withoutComments(text) : text);
  } catch (error) {
    throw new ConfigError(`${path} is not valid JSON: ${jsonProblem(error)}${placeOfMistake(text)}`);
  }
}

/**
 * Applies `key=value` settings to a configuration: keys are dotted paths (`algorithm.C=1.2`, `rewards.0.weight=2`),
 * values are JSON where they parse as JSON and strings otherwise.
 * @throws ConfigError for a setting without `=`, or a path through something that is not an object or an array
 */
export function applyOverrides(config: unknown, settings: readonly string[]): unknown {
  const result = copyPlain(config);
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

/** A copy of objects and lists; what a program made, such as a reward in a configuration, stays itself. */
function copyPlain(value: unknown): unknown {
  if (Array.isArray(value)) return value.map(copyPlain);
  if (typeof value !== 'object' || value === null) return value;
  const prototype: unknown = Object.getPrototypeOf(value);
  const isPlain = prototype === Object.prototype || prototype === null;
  if (!isPlain || Object.values(value).some((entry) => typeof entry === 'function')) return value;
  return Object.fromEntries(Object.entries(value).map(([key, entry]) => [key, copyPlain(entry)]));
}

/** Where the first mistake is: Node says it of few, and in characters. */
function placeOfMistake(text: string): string {
  const errors: ParseError[] = [];
  parse(text, errors, { allowTrailingComma: true });
  const [first] = errors;
  if (!first) return '';
  const lines = text.slice(0, first.offset).split(/\r\n|\r|\n/);
  return ` (line ${lines.length}, column ${lines.at(-1)!.length + 1})`;
}

/** After these there is no value that a comma could end. */
const noValues = [SyntaxKind.OpenBraceToken, SyntaxKind.OpenBracketToken, SyntaxKind.CommaToken, SyntaxKind.ColonToken];

/** JSON in the place of JSON with comments and commas after last entries: each is blank, and lines stay lines. */
function withoutComments(text: string): string {
  const scanner = createScanner(text);
  let json = '';
  let [comma, isAfterValue] = [-1, false];
  for (let token = scanner.scan(); token !== SyntaxKind.EOF; token = scanner.scan()) {
    const isComment = token === SyntaxKind.LineCommentTrivia || token === SyntaxKind.BlockCommentTrivia;
    const isSpace = token === SyntaxKind.Trivia || token === SyntaxKind.LineBreakTrivia;
    const own = text.substr(scanner.getTokenOffset(), scanner.getTokenLength());
    const closes = token === SyntaxKind.CloseBraceToken || token === SyntaxKind.CloseBracketToken;
    if (closes && comma >= 0) json = `${json.slice(0, comma)} ${json.slice(comma + 1)}`;
    if (token === SyntaxKind.CommaToken) comma = isAfterValue ? json.length : -1;
    else if (!isComment && !isSpace) comma = -1;
    if (!isComment && !isSpace) isAfterValue = !noValues.includes(token);
    json += isComment ? own.replace(/[^\r\n]/g, ' ') : own;
  }
  return json;
}

function parseValue(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return text;
  }
}
