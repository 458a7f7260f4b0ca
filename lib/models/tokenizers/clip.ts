import { join } from 'node:path';

import { z } from 'zod';

import { readJson } from '../../schema/json.js';
import { readText } from '../../schema/text.js';
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
  type TokenizerConfig,
} from './tokenizer.js';

/** Tokens a text that CLIP was trained on. */
const defaultLength = 77;

const vocabularySchema = z.record(z.string(), z.int().min(0));

const tokenizerSchema = z.looseObject({
  added_tokens: z.array(z.looseObject({ content: z.string(), id: z.int().min(0) })).default([]),
  model: z.looseObject({ vocab: vocabularySchema }),
});

/** Tokens a row of a directory's tokenizer: what loading it would tell. */
export async function clipLength(directory: string): Promise<number> {
  return lengthOf(await readTokenizerConfig(directory));
}

const lengthOf = ({ model_max_length: length }: TokenizerConfig, longest = defaultLength): number =>
  Math.min(length ?? longest, longest);

/** Options of {@link loadClipTokenizer}. */
export interface ClipTokenizerOptions {
  /** The id to pad with; default: that of the padding token that the directory names. */
  padding?: number | undefined;
  /** Tokens that the text tower has positions for, the longest row; default 77. */
  positions?: number | undefined;
  /** Tokens of a row, whatever the directory says: as another tokenizer's, whose rows these stand beside. */
  length?: number | undefined;
}

/**
 * CLIP's byte-pair encoding (arXiv 2103.00020) from a directory with tokenizer.json, or vocab.json and merges.txt: rows
 * of begin mark, text, end mark and padding.
 * @throws CheckpointError for a directory without them, or with damaged ones
 */
export async function loadClipTokenizer(
  directory: string,
  { padding, positions, length }: ClipTokenizerOptions = {},
): Promise<TextTokenizer> {
  const config = await readTokenizerConfig(directory);
  const begin = config.bos_token ?? '<|startoftext|>';
  const end = config.eos_token ?? '<|endoftext|>';
  const padded = config.pad_token ?? end;
  const unknown = config.unk_token ?? end;
  const json = await readTokenizer(directory, unknown);
  const marked = new Set([begin, end, unknown, padded]);
  const known = new Set(json.added_tokens.map(({ content }) => content));
  const added = await addedTokens(directory, config, json.added_tokens, (content) => json.model.vocab[content]);
  const tokens = added.filter(({ content }) => known.has(content) || !marked.has(content));
  // As transformers does: a special token is itself wherever it stands in a text, "!" too where that is what rows are
  // padded with.
  for (const content of marked) {
    const id = json.model.vocab[content] ?? added.find((token) => token.content === content)?.id;
    if (id === undefined)
      throw new CheckpointError(
        `${directory}: the vocabulary lacks the token "${content}" that its configuration names`,
      );
    if (!known.has(content)) tokens.push({ id, content, special: true, normalized: false });
  }
  const tokenizer = createTokenizer({ ...json, added_tokens: tokens }, config, directory);
  const marks = {
    begin: [idOf(tokenizer, begin, directory)],
    end: idOf(tokenizer, end, directory),
    padding: padding ?? idOf(tokenizer, padded, directory),
  };
  // JavaScript's lower case of a word's last Σ is ς; CLIP knows σ everywhere.
  const sigma: Encoder = {
    encode: (text, options) => tokenizer.encode(text.replaceAll('Σ', 'σ'), options),
    token_to_id: (token) => tokenizer.token_to_id(token),
  };
  return new PaddingTokenizer(sigma, length ?? lengthOf(config, positions), marks);
}

async function readTokenizer(directory: string, unknown: string): Promise<z.output<typeof tokenizerSchema>> {
  const [whole, vocabulary, merges] = ['tokenizer.json', 'vocab.json', 'merges.txt'].map((name) =>
    join(directory, name),
  ) as [string, string, string];
  if (await exists(whole)) return validate(tokenizerSchema, await readJson(whole), whole);
  if (!(await exists(vocabulary)) || !(await exists(merges))) {
    throw new CheckpointError(expected(directory, 'vocab.json and merges.txt, or tokenizer.json', 'no tokenizer'));
  }
  return assemble(
    validate(vocabularySchema, await readJson(vocabulary), vocabulary),
    parseMerges(await readText(merges), merges),
    unknown,
  );
}

function parseMerges(text: string, path: string): [string, string][] {
  return text
    .split(/\r?\n/)
    .map((line, index) => ({ line, number: index + 1 }))
    .filter(({ line, number }) => line !== '' && !(number === 1 && line.startsWith('#version')))
    .map(({ line, number }) => {
      const parts = line.split(' ');
      if (parts.length !== 2)
        throw new CheckpointError(
          expected(`${path}, line ${number}`, 'two tokens and a space between them', JSON.stringify(line)),
        );
      return parts as [string, string];
    });
}

/** The tokenizer.json that transformers makes of a CLIP vocabulary. */
function assemble(
  vocab: Record<string, number>,
  merges: [string, string][],
  unknown: string,
): z.output<typeof tokenizerSchema> {
  return {
    version: '1.0',
    added_tokens: [],
    normalizer: {
      type: 'Sequence',
      normalizers: [
        { type: 'NFC' },
        { type: 'Replace', pattern: { Regex: '\\s+' }, content: ' ' },
        { type: 'Lowercase' },
      ],
    },
    pre_tokenizer: {
      type: 'Sequence',
      pretokenizers: [
        {
          type: 'Split',
          pattern: { Regex: "'s|'t|'re|'ve|'m|'ll|'d|[\\p{L}]+|[\\p{N}]|[^\\s\\p{L}\\p{N}]+" },
          behavior: 'Removed',
          invert: true,
        },
        { type: 'ByteLevel', add_prefix_space: false, trim_offsets: true, use_regex: true },
      ],
    },
    post_processor: null,
    decoder: { type: 'ByteLevel', add_prefix_space: true, trim_offsets: true, use_regex: true },
    model: {
      type: 'BPE',
      dropout: null,
      unk_token: unknown,
      continuing_subword_prefix: '',
      end_of_word_suffix: '</w>',
      fuse_unk: false,
      byte_fallback: false,
      vocab,
      merges,
    },
  };
}
