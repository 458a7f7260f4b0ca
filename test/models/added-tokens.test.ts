// Tokens that were added to a tokenizer, such as textual inversion's. The rows are those of transformers 5.18 with
// tokenizers 0.23.2.

import { cpSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';

import { describe, expect, it } from 'vitest';

import { CheckpointError } from '../../lib/errors.js';
import { loadModel } from '../../lib/models/registry.js';
import { loadClipTokenizer } from '../../lib/models/tokenizers/clip.js';
import { loadT5Tokenizer } from '../../lib/models/tokenizers/t5.js';
import type { TextTokenizer } from '../../lib/models/tokenizers/tokenizer.js';
import { temporaryFolder } from '../helpers/tiny-run.js';

const model = fileURLToPath(new URL('../fixtures/sd35-tiny', import.meta.url));

/** A copy of a tokenizer with other settings, and files beside it. */
function tokenizerWith(name: string, settings: object, files: Record<string, object> = {}): string {
  const directory = temporaryFolder();
  cpSync(join(model, name), directory, { recursive: true });
  const path = join(directory, 'tokenizer_config.json');
  writeFileSync(path, JSON.stringify({ ...(JSON.parse(readFileSync(path, 'utf8')) as object), ...settings }));
  for (const [file, content] of Object.entries(files)) writeFileSync(join(directory, file), JSON.stringify(content));
  return directory;
}
/** The ids of a text without CLIP's marks. */
function rowOf(tokenizer: TextTokenizer, text: string): number[] {
  const row = [...tokenizer.encode([text]).ids[0]!];
  return row.slice(1, row.indexOf(49407));
}
const token = (content: string, more: object = {}) => ({
  content,
  lstrip: false,
  normalized: true,
  rstrip: false,
  single_word: false,
  special: false,
  ...more,
});
const decoder = {
  49406: token('<|startoftext|>', { special: true }),
  49407: token('<|endoftext|>', { special: true, normalized: false }),
  49408: token('<cat-toy>'),
  49409: token('MyDog'),
  49410: token('<S>', { special: true, normalized: false }),
  49411: token('<lr>', { lstrip: true, rstrip: true }),
};
const ids = { '<cat-toy>': 49408, MyDog: 49409, '<S>': 49410, '<lr>': 49411 };

describe("a CLIP tokenizer's added tokens", () => {
  const rows: Record<string, number[]> = {
    'a <cat-toy>': [320, 49408],
    '<cat-toy>s and a<cat-toy> b': [49408, 338, 537, 320, 49408, 321],
    'a <CAT-TOY>': [320, 49408],
    'my MyDog, mydog MYDOG': [607, 49409, 267, 49409, 49409],
    '<S>fox <s> fox': [49410, 3240, 283, 338, 285, 3240],
    '  <lr>  fox <lr>': [49411, 3240, 49411],
    '<cat-toy><cat-toy> photo': [49408, 49408, 1125],
  };
  it.each([
    { what: 'its configuration', settings: { added_tokens_decoder: decoder }, files: {} },
    { what: 'a file of ids', settings: { additional_special_tokens: ['<S>'] }, files: { 'added_tokens.json': ids } },
    { what: 'one and the other', settings: { added_tokens_decoder: decoder }, files: { 'added_tokens.json': ids } },
    {
      what: 'a file of ids and special tokens',
      settings: {},
      files: { 'added_tokens.json': ids, 'special_tokens_map.json': { additional_special_tokens: [token('<S>')] } },
    },
    { what: 'names of version 5', settings: { extra_special_tokens: ['<S>'] }, files: { 'added_tokens.json': ids } },
    { what: 'named ones', settings: { extra_special_tokens: { s: '<S>' } }, files: { 'added_tokens.json': ids } },
  ])('are whole where $what says so', async ({ settings, files }) => {
    const tokenizer = await loadClipTokenizer(tokenizerWith('tokenizer', settings, files));
    for (const [text, row] of Object.entries(rows)) expect([text, rowOf(tokenizer, text)]).toEqual([text, row]);
    expect(rowOf(await loadClipTokenizer(join(model, 'tokenizer')), 'a <cat-toy>')).not.toContain(49408);
  });

  it('are accepted as what rows are padded with', async () => {
    const settings = { pad_token: '[PAD]', added_tokens_decoder: { 49408: token('[PAD]', { special: true }) } };
    const tokenizer = await loadClipTokenizer(tokenizerWith('tokenizer', settings));
    expect([...tokenizer.encode(['fox']).ids[0]!.slice(0, 4)]).toEqual([49406, 3240, 49407, 49408]);
  });

  it.each([
    {
      settings: { added_tokens_decoder: { 49408: token('<a>') } },
      files: { 'added_tokens.json': { '<a>': 49409 } },
      message: /token "<a>": expected one id, got 49408 and 49409/,
    },
    {
      settings: { added_tokens_decoder: { 5: token('<|endoftext|>') } },
      files: {},
      message: /token "<\|endoftext\|>": expected one id, got 49407 and 5/,
    },
    {
      settings: { additional_special_tokens: ['<a>'] },
      files: {},
      message: /the token "<a>" was added, and no file has its id/,
    },
    {
      settings: { added_tokens_decoder: { 49408: token('<a>', { single_word: true }) } },
      files: {},
      message: /token "<a>": single_word is not supported/,
    },
    { settings: { added_tokens_decoder: { x: token('<a>') } }, files: {}, message: /added_tokens_decoder/ },
    {
      settings: {},
      files: { 'added_tokens.json': { '<a>': -1 } },
      message: /added_tokens\.json: <a>: expected a number/,
    },
  ])('are refused where they cannot be what they say: $message', async ({ settings, files, message }) => {
    await expect(loadClipTokenizer(tokenizerWith('tokenizer', settings, files as never))).rejects.toThrow(message);
  });

  it('are refused without an encoder that knows them', async () => {
    const directory = temporaryFolder();
    cpSync(model, directory, { recursive: true });
    writeFileSync(join(directory, 'tokenizer', 'added_tokens.json'), JSON.stringify(ids));
    const embeddingCache = temporaryFolder();
    using loaded = await loadModel(directory, { size: { width: 16, height: 16 }, embeddingCache });
    await loaded.prepare(['a fox']);
    await expect(loaded.prepare(['a <cat-toy>'])).rejects.toThrow(
      /ids: expected tokens of the encoder's vocabulary, 0 to 49407, got 49408/,
    );
  });
});

describe("a T5 tokenizer's added tokens", () => {
  it('are whole, whether its tokenizer.json lists them or not', async () => {
    const settings = { added_tokens_decoder: { 40000: token('<cat-toy>', { normalized: false }) } };
    const tokenizer = await loadT5Tokenizer(tokenizerWith('tokenizer_3', settings), 12);
    expect([...tokenizer.encode(['a <cat-toy> fox']).ids[0]!]).toContain(40000);
    const known = tokenizerWith('tokenizer_3', { additional_special_tokens: ['</s>'] });
    expect((await loadT5Tokenizer(known, 12)).encode(['a </s>']).ids[0]!.filter((id) => id === 1)).toHaveLength(2);
    await expect(
      loadT5Tokenizer(tokenizerWith('tokenizer_3', { additional_special_tokens: ['<x>'] }), 12),
    ).rejects.toThrow(CheckpointError);
  });
});
