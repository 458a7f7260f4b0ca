import { join } from 'node:path';

import { readJson } from '../../schema/json.js';
import { CheckpointError } from '../../errors.js';
import {
  createTokenizer,
  exists,
  idOf,
  PaddingTokenizer,
  readTokenizerConfig,
  type TextTokenizer,
} from './tokenizer.js';

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
      ? ": spiece.model is there, but only tokenizer.json is read; transformers' " +
        'T5TokenizerFast.from_pretrained(…).save_pretrained(…) writes one'
      : '';
    throw new CheckpointError(`${directory} holds no tokenizer: expected tokenizer.json${hint}`);
  }
  const config = await readTokenizerConfig(directory);
  const json = await readJson(path);
  const tokenizer = createTokenizer(json, config, path);
  const marks = {
    begin: [],
    end: idOf(tokenizer, config.eos_token ?? '</s>', directory),
    padding: idOf(tokenizer, config.pad_token ?? '<pad>', directory),
  };
  return new PaddingTokenizer(tokenizer, length, marks);
}
