import { join } from 'node:path';

import { z } from 'zod';

import { readJson } from '../../schema/json.js';
import { expected, validate } from '../../schema/validate.js';
import { CheckpointError } from '../../errors.js';
import { addedTokens } from './added-tokens.js';
import {
  createTokenizer,
  exists,
  idOf,
  PaddingTokenizer,
  readTokenizerConfig,
  type Encoder,
  type TextTokenizer,
} from './tokenizer.js';

const addedSchema = z.looseObject({
  added_tokens: z.array(z.looseObject({ content: z.string(), id: z.int().min(0) })).default([]),
});

/**
 * T5's unigram model (SentencePiece, arXiv 1808.06226) from a directory with tokenizer.json: rows of text, end mark and
 * padding.
 * @param length of a row
 * @throws CheckpointError for a directory without it, or with a damaged one
 */
export async function loadT5Tokenizer(directory: string, length: number): Promise<TextTokenizer> {
  const path = join(directory, 'tokenizer.json');
  if (!(await exists(path))) {
    const hint = (await exists(join(directory, 'spiece.model')))
      ? "; spiece.model is there, but only tokenizer.json is read; transformers' " +
        'T5TokenizerFast.from_pretrained(…).save_pretrained(…) writes one'
      : '';
    throw new CheckpointError(expected(directory, 'tokenizer.json', `no tokenizer${hint}`));
  }
  const config = await readTokenizerConfig(directory);
  const json = validate(addedSchema, await readJson(path), path);
  // The library's own reading of the file tells which ids its vocabulary has; mostly all are in the list already.
  let own: Encoder | undefined;
  const idInVocabulary = (token: string) => {
    own ??= createTokenizer(json, config, path);
    return own.token_to_id(token);
  };
  const added_tokens = await addedTokens(directory, config, json.added_tokens, idInVocabulary);
  const tokenizer = createTokenizer({ ...json, added_tokens }, config, path);
  const marks = {
    begin: [],
    end: idOf(tokenizer, config.eos_token ?? '</s>', directory),
    padding: idOf(tokenizer, config.pad_token ?? '<pad>', directory),
  };
  return new PaddingTokenizer(tokenizer, length, marks);
}
