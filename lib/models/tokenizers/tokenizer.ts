import { access } from 'node:fs/promises';
import { join } from 'node:path';

import { Tokenizer } from '@huggingface/tokenizers';
import { z } from 'zod';

import { readJson } from '../../schema/json.js';
import { validate } from '../../schema/validate.js';
import { CheckpointError } from '../../errors.js';

/** Texts as rows of token ids of one length. */
export interface TokenIds {
  ids: Int32Array[];
  /** How many of the texts were longer than a row, and cut. */
  truncated: number;
}

/** Rows of ids and of which of them count. */
export interface MaskedTokenIds extends TokenIds {
  /** 1 where there is a token, 0 where there is padding. */
  mask: Int32Array[];
}

/** Turns texts into the ids that one text encoder reads. */
export interface TextTokenizer {
  /** Length of a row, the marks of beginning and end included. */
  readonly length: number;
  encode(texts: readonly string[]): TokenIds;
}

const contentSchema = z.union([z.string(), z.object({ content: z.string() }).transform(({ content }) => content)]);
const tokenSchema = contentSchema.nullish();

const specialSchema = z.object({
  bos_token: tokenSchema,
  eos_token: tokenSchema,
  unk_token: tokenSchema,
  pad_token: tokenSchema,
  additional_special_tokens: z.array(contentSchema).nullish(),
  /** Their name in transformers 5, and in version 4 those with names of their own. */
  extra_special_tokens: z
    .union([z.array(contentSchema), z.record(z.string(), contentSchema).transform(Object.values<string>)])
    .nullish(),
});
export type SpecialTokens = z.output<typeof specialSchema>;

const flag = z.boolean().optional();
const configSchema = specialSchema.extend({
  model_max_length: z.number().min(2).nullish(),
  added_tokens_decoder: z
    .record(
      z.string().regex(/^\d+$/),
      z.object({
        content: z.string(),
        lstrip: flag,
        normalized: flag,
        rstrip: flag,
        single_word: flag,
        special: flag,
      }),
    )
    .nullish(),
});
export type TokenizerConfig = z.output<typeof configSchema>;

export async function exists(path: string): Promise<boolean> {
  return access(path).then(
    () => true,
    () => false,
  );
}

/** What tokenizer_config.json says, and where it says nothing special_tokens_map.json; a directory may have neither. */
export async function readTokenizerConfig(directory: string): Promise<TokenizerConfig> {
  const read = async <Schema extends z.ZodType>(name: string, schema: Schema): Promise<Partial<z.output<Schema>>> => {
    const path = join(directory, name);
    return (await exists(path)) ? validate(schema, await readJson(path), path) : {};
  };
  const config = await read('tokenizer_config.json', configSchema);
  const map = await read('special_tokens_map.json', specialSchema);
  const token = <Name extends keyof SpecialTokens>(name: Name) => config[name] ?? map[name];
  return {
    model_max_length: config.model_max_length,
    added_tokens_decoder: config.added_tokens_decoder,
    additional_special_tokens: token('additional_special_tokens'),
    extra_special_tokens: token('extra_special_tokens'),
    bos_token: token('bos_token'),
    eos_token: token('eos_token'),
    unk_token: token('unk_token'),
    pad_token: token('pad_token'),
  };
}

/** What is used of the library, whose own types do not resolve under Node's rules. */
export interface Encoder {
  encode(text: string, options: { add_special_tokens: boolean }): { ids: number[] };
  token_to_id(token: string): number | undefined;
}

/** The library's tokenizer for a tokenizer.json. @throws CheckpointError where it is none */
export function createTokenizer(json: unknown, config: TokenizerConfig, path: string): Encoder {
  try {
    return new Tokenizer(json as object, config);
  } catch (error) {
    throw new CheckpointError(`${path} is not a tokenizer that is known here: ${(error as Error).message}`, {
      cause: error,
    });
  }
}

/** @throws CheckpointError where the vocabulary lacks the token */
export function idOf(tokenizer: Encoder, token: string, directory: string): number {
  const id = tokenizer.token_to_id(token);
  if (id === undefined)
    throw new CheckpointError(`${directory}: the vocabulary lacks the token "${token}" that its configuration names`);
  return id;
}

/** Rows filled up to `length` with padding, and which of their ids are not padding. */
export function paddedRows(
  rows: readonly (readonly number[])[],
  length: number,
  padding: number,
): Pick<MaskedTokenIds, 'ids' | 'mask'> {
  return {
    ids: rows.map((row) => Int32Array.from({ length }, (_, position) => row[position] ?? padding)),
    mask: rows.map((row) => Int32Array.from({ length }, (_, position) => (position < row.length ? 1 : 0))),
  };
}

/** Rows of `length` ids: what comes before a text, the text, cut where it is too long, its end, and padding. */
export class PaddingTokenizer implements TextTokenizer {
  constructor(
    private readonly tokenizer: Encoder,
    readonly length: number,
    private readonly marks: { begin: readonly number[]; end: number; padding: number },
  ) {}

  encode(texts: readonly string[]): TokenIds {
    const { begin, end, padding } = this.marks;
    const room = this.length - begin.length - 1;
    let truncated = 0;
    const ids = texts.map((text) => {
      const tokens = this.tokenizer.encode(text, { add_special_tokens: false }).ids;
      if (tokens.length > room) ++truncated;
      const row = new Int32Array(this.length).fill(padding);
      row.set([...begin, ...tokens.slice(0, room), end]);
      return row;
    });
    return { ids, truncated };
  }
}
