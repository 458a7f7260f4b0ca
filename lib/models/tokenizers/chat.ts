import { join } from 'node:path';

import { Template } from '@huggingface/jinja';
import { z } from 'zod';

import { CheckpointError } from '../../errors.js';
import { readJson } from '../../schema/json.js';
import { readText } from '../../schema/text.js';
import { expected, validate } from '../../schema/validate.js';
import { addedTokens } from './added-tokens.js';
import {
  createTokenizer,
  exists,
  idOf,
  paddedRows,
  readTokenizerConfig,
  type MaskedTokenIds,
  type TokenizerConfig,
} from './tokenizer.js';

/** Turns what a user says into the ids that a language model reads of it. */
export interface ChatTokenizer {
  /** How many ids a row has. */
  readonly length: number;
  /**
   * Encodes each text as one row. A text that is too long for a row, within what the template puts around it, is cut at
   * the end of that row.
   */
  encode(texts: readonly string[]): MaskedTokenIds;
}

const tokenizerSchema = z.looseObject({
  added_tokens: z.array(z.looseObject({ content: z.string(), id: z.int().min(0) })).default([]),
  model: z.looseObject({ type: z.string().optional(), vocab: z.record(z.string(), z.int().min(0)) }),
});

const templateSchema = z.object({
  /** One template, or several by name. */
  chat_template: z.union([z.string(), z.array(z.object({ name: z.string(), template: z.string() }))]).nullish(),
  padding_side: z.literal('right').default('right'),
  add_bos_token: z.literal(false).nullish(),
  add_eos_token: z.literal(false).nullish(),
});

/**
 * Loads a language model's tokenizer, which encodes one message by byte pairs within the model's own chat template, as
 * transformers renders it: a user's turn, then the beginning of an answer without thinking (`add_generation_prompt`,
 * `enable_thinking: false`).
 * @param directory holds tokenizer.json, tokenizer_config.json, and the template there or in chat_template.jinja
 * @param length of a row
 * @throws CheckpointError for a directory without them, or with damaged ones
 */
export async function loadChatTokenizer(directory: string, length: number): Promise<ChatTokenizer> {
  const path = join(directory, 'tokenizer.json');
  if (!(await exists(path))) throw new CheckpointError(expected(directory, 'tokenizer.json', 'no tokenizer'));
  const config = await readTokenizerConfig(directory);
  const render = await loadTemplate(directory, config);
  const json = validate(tokenizerSchema, await readJson(path), path);
  const added_tokens = await addedTokens(directory, config, json.added_tokens, (token) => json.model.vocab[token]);
  const tokenizer = createTokenizer({ ...json, added_tokens }, config, path);
  const padded = config.pad_token ?? config.eos_token;
  if (!padded) {
    throw new CheckpointError(
      expected(join(directory, 'tokenizer_config.json'), 'a pad_token to fill rows up with', 'none'),
    );
  }
  const padding = idOf(tokenizer, padded, directory);
  return {
    length,
    encode(texts) {
      const rows = texts.map((text) => tokenizer.encode(render(text), { add_special_tokens: false }).ids);
      const truncated = rows.filter((row) => row.length > length).length;
      const cut = rows.map((row) => row.slice(0, length));
      return { ...paddedRows(cut, length, padding), truncated };
    },
  };
}

/** What renders a user's message. @throws CheckpointError for a template that is missing or cannot be rendered */
async function loadTemplate(directory: string, tokens: TokenizerConfig): Promise<(text: string) => string> {
  const own = join(directory, 'chat_template.jinja');
  const settings = join(directory, 'tokenizer_config.json');
  const config = (await exists(settings)) ? validate(templateSchema, await readJson(settings), settings) : undefined;
  const stored = config?.chat_template;
  const named = typeof stored === 'string' ? stored : stored?.find(({ name }) => name === 'default')?.template;
  const isOwn = await exists(own);
  const text = isOwn ? await readText(own) : named;
  if (text === undefined) {
    throw new CheckpointError(
      expected(directory, 'a chat template in tokenizer_config.json or chat_template.jinja', 'none'),
    );
  }
  const { bos_token, eos_token, pad_token, unk_token } = tokens;
  const variables = { bos_token, eos_token, pad_token, unk_token, add_generation_prompt: true, enable_thinking: false };
  const failed = (error: unknown) =>
    new CheckpointError(
      `${isOwn ? own : settings}: the chat template cannot be rendered: ${(error as Error).message}`,
      { cause: error },
    );
  let template: Template;
  try {
    template = new Template(text);
  } catch (error) {
    throw failed(error);
  }
  const render = (content: string): string => {
    try {
      return template.render({ ...variables, messages: [{ role: 'user', content }] });
    } catch (error) {
      throw failed(error);
    }
  };
  // A template that renders no text renders none of a run's prompts.
  render('');
  return render;
}
