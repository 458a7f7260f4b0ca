import { join } from 'node:path';

import { z } from 'zod';

import { CheckpointError } from '../../errors.js';
import { readJson } from '../../schema/json.js';
import { expected, validate } from '../../schema/validate.js';
import { exists, type TokenizerConfig } from './tokenizer.js';

/** A token beside those of the vocabulary, or one of them that no text is split within. */
export interface AddedToken {
  id: number;
  content: string;
  special?: boolean | undefined;
  /** Whether it is looked for in the normalized text, as its own normalized form. */
  normalized?: boolean | undefined;
  lstrip?: boolean | undefined;
  rstrip?: boolean | undefined;
  single_word?: boolean | undefined;
}

const fileSchema = z.record(z.string(), z.int().min(0));

/**
 * The tokens that were added to a tokenizer, as transformers saves them: `added_tokens_decoder`,
 * `additional_special_tokens` and `extra_special_tokens` of its configuration, and added_tokens.json.
 * @param known what a tokenizer.json lists already; these stay as they are there
 * @param vocabulary the ids of the others
 * @throws CheckpointError for a token of two ids or none, or one that may only stand for a whole word
 */
export async function addedTokens(
  directory: string,
  config: TokenizerConfig,
  known: readonly AddedToken[],
  vocabulary: (content: string) => number | undefined,
): Promise<AddedToken[]> {
  const path = join(directory, 'added_tokens.json');
  const ids = (await exists(path)) ? validate(fileSchema, await readJson(path), path) : {};
  const special = [...(config.additional_special_tokens ?? []), ...(config.extra_special_tokens ?? [])];
  const tokens = new Map(known.map((token) => [token.content, token]));
  const add = (token: AddedToken) => {
    const other = tokens.get(token.content)?.id ?? vocabulary(token.content);
    if (other !== undefined && other !== token.id)
      throw new CheckpointError(
        expected(`${directory}: token ${JSON.stringify(token.content)}`, 'one id', `${other} and ${token.id}`),
      );
    if (!tokens.has(token.content)) tokens.set(token.content, token);
  };
  for (const [id, token] of Object.entries(config.added_tokens_decoder ?? {})) add({ ...token, id: Number(id) });
  for (const [content, id] of Object.entries(ids)) add({ id, content, special: special.includes(content) });
  for (const content of special) {
    const id = tokens.get(content)?.id ?? vocabulary(content);
    if (id === undefined)
      throw new CheckpointError(`${directory}: the token ${JSON.stringify(content)} was added, and no file has its id`);
    add({ id, content, special: true });
  }
  const whole = [...tokens.values()].find((token) => token.single_word);
  if (whole)
    throw new CheckpointError(`${directory}: token ${JSON.stringify(whole.content)}: single_word is not supported`);
  return [...tokens.values()];
}
