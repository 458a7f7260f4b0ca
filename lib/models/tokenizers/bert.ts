import { ConfigError } from '../../errors.js';
import { readText } from '../../schema/text.js';
import { createTokenizer, paddedRows, type MaskedTokenIds } from './tokenizer.js';

/** What {@link loadBertTokenizer} returns. */
export interface BertTokenizer {
  /** The ids of the vocabulary with what was added to it. */
  readonly size: number;
  encode(texts: readonly string[]): MaskedTokenIds;
}

const required = ['[PAD]', '[UNK]', '[CLS]', '[SEP]'] as const;

/**
 * The WordPiece tokenizer of uncased BERT, as BLIP uses it (`init_tokenizer` of its reference code): the vocabulary is
 * followed by [DEC] and [ENC], texts become [CLS] … [SEP] and are cut or padded to `length` tokens.
 * @param path of vocab.txt, one token a line
 * @throws ConfigError for a file that is missing or no such vocabulary
 */
export async function loadBertTokenizer(path: string, length: number): Promise<BertTokenizer> {
  const tokens = await readVocabulary(path);
  const vocab = Object.fromEntries(tokens.map((token, id) => [token, id]));
  const missing = required.filter((token) => !Object.hasOwn(vocab, token));
  if (missing.length) {
    throw new ConfigError(
      `${path} is no vocabulary of BERT: of its ${tokens.length} lines none is ${missing.join(', ')}`,
    );
  }
  const [pad, cls, sep] = ['[PAD]', '[CLS]', '[SEP]'].map((token) => vocab[token]!) as [number, number, number];
  const special = (content: string, id: number) => ({
    id,
    content,
    special: true,
    normalized: false,
    single_word: false,
    lstrip: false,
    rstrip: false,
  });
  const added = ['[DEC]', '[ENC]'];
  const tokenizer = createTokenizer(
    {
      added_tokens: [
        ...[...required, '[MASK]']
          .filter((token) => Object.hasOwn(vocab, token))
          .map((token) => special(token, vocab[token]!)),
        ...added.map((token, index) => special(token, tokens.length + index)),
      ],
      normalizer: {
        type: 'BertNormalizer',
        clean_text: true,
        handle_chinese_chars: true,
        strip_accents: null,
        lowercase: true,
      },
      pre_tokenizer: { type: 'BertPreTokenizer' },
      post_processor: null,
      decoder: null,
      model: {
        type: 'WordPiece',
        unk_token: '[UNK]',
        continuing_subword_prefix: '##',
        max_input_chars_per_word: 100,
        vocab,
      },
    },
    {},
    path,
  );
  return {
    size: tokens.length + added.length,
    encode(texts) {
      let truncated = 0;
      const rows = texts.map((text) => {
        const found = tokenizer.encode(text, { add_special_tokens: false }).ids;
        if (found.length > length - 2) truncated++;
        return [cls, ...found.slice(0, length - 2), sep];
      });
      return { ...paddedRows(rows, length, pad), truncated };
    },
  };
}

async function readVocabulary(path: string): Promise<string[]> {
  return (await readText(path)).replace(/\r?\n$/, '').split(/\r?\n/);
}
