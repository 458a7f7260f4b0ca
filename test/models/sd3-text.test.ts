import { cpSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';

import { describe, expect, it } from 'vitest';

import { readTensors, readHeader } from '../../lib/files/safetensors.js';
import { loadClipTokenizer } from '../../lib/models/tokenizers/clip.js';
import { loadT5Tokenizer } from '../../lib/models/tokenizers/t5.js';
import type { TextTokenizer } from '../../lib/models/tokenizers/tokenizer.js';

const fixtures = fileURLToPath(new URL('../fixtures', import.meta.url));
const directory = join(fixtures, 'sd35-tiny');
const goldens = await readTensors(join(directory, 'goldens.safetensors'));
const { metadata } = await readHeader(join(directory, 'goldens.safetensors'));
const prompts = JSON.parse(metadata['prompts']!) as string[];
const textLength = Number(metadata['t5_max_length']);

const names = ['tokenizer', 'tokenizer_2', 'tokenizer_3'] as const;
const load = (name: (typeof names)[number], from = directory): Promise<TextTokenizer> =>
  name === 'tokenizer_3' ? loadT5Tokenizer(join(from, name), textLength) : loadClipTokenizer(join(from, name));
const tokenizers = {
  tokenizer: await load('tokenizer'),
  tokenizer_2: await load('tokenizer_2'),
  tokenizer_3: await load('tokenizer_3'),
};

describe.each(names)('the tokenizer in %s', (name) => {
  const golden = { tokenizer: 'ids.clip_l', tokenizer_2: 'ids.clip_g', tokenizer_3: 'ids.t5' }[name];

  it("gives transformers' ids, cut and padded", () => {
    const { ids, truncated } = tokenizers[name].encode(prompts);
    expect(ids.flatMap((row) => Array.from(row))).toEqual(Array.from(goldens[golden]!.dataSync() as Int32Array));
    expect(truncated).toBe(1);
    expect(ids.every((row) => row.length === tokenizers[name].length)).toBe(true);
  });

  it("gives the ids of transformers' engine for odd prompts", () => {
    type Case = { prompt: string } & Record<typeof name, number[]>;
    const cases = JSON.parse(readFileSync(join(fixtures, 'tokenizers', 'odd-prompts.json'), 'utf8')) as Case[];
    expect(cases.length).toBeGreaterThan(200);
    for (const { prompt, [name]: expected } of cases) {
      const row = Array.from(tokenizers[name].encode([prompt]).ids[0]!);
      expect({ prompt, ids: row.slice(0, expected.length) }).toEqual({ prompt, ids: expected });
      // What is left is all padding.
      expect(new Set(row.slice(expected.length)).size).toBeLessThan(2);
    }
  });

  it('keeps the end of a prompt that is too long', () => {
    const long = Array.from(tokenizers[name].encode([prompts[3]!]).ids[0]!);
    const short = Array.from(tokenizers[name].encode(['word']).ids[0]!);
    const end = name === 'tokenizer_3' ? 1 : 49407;
    expect(short).toContain(end);
    expect(long.at(-1)).toBe(end);
    expect(tokenizers[name].encode(['word', prompts[3]!, 'word', prompts[3]!]).truncated).toBe(2);
  });
});

describe('the directory of a tokenizer', () => {
  const copyOf = (name: string): string => {
    const copy = join(mkdtempSync(join(tmpdir(), 'eam-tokenizer-')), name);
    cpSync(join(directory, name), copy, { recursive: true });
    return copy;
  };

  it('may hold tokenizer.json in place of the vocabulary and its merges', async () => {
    const copy = copyOf('tokenizer_2');
    const model = {
      type: 'BPE',
      unk_token: '<|endoftext|>',
      continuing_subword_prefix: '',
      end_of_word_suffix: '</w>',
      fuse_unk: false,
      vocab: JSON.parse(readFileSync(join(copy, 'vocab.json'), 'utf8')) as unknown,
      merges: readFileSync(join(copy, 'merges.txt'), 'utf8').trimEnd().split('\n').slice(1),
    };
    const pattern = { Regex: "'s|'t|'re|'ve|'m|'ll|'d|[\\p{L}]+|[\\p{N}]|[^\\s\\p{L}\\p{N}]+" };
    writeFileSync(
      join(copy, 'tokenizer.json'),
      JSON.stringify({
        added_tokens: [
          { id: 49406, content: '<|startoftext|>', special: true },
          { id: 49407, content: '<|endoftext|>', special: true },
        ],
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
            { type: 'Split', pattern, behavior: 'Removed', invert: true },
            { type: 'ByteLevel', add_prefix_space: false },
          ],
        },
        post_processor: { type: 'RobertaProcessing', sep: ['<|endoftext|>', 49407], cls: ['<|startoftext|>', 49406] },
        decoder: { type: 'ByteLevel' },
        model,
      }),
    );
    for (const file of ['vocab.json', 'merges.txt']) rmSync(join(copy, file));
    expect((await loadClipTokenizer(copy)).encode(prompts).ids).toEqual(tokenizers.tokenizer_2.encode(prompts).ids);
  });

  it.each([
    {
      name: 'tokenizer',
      missing: ['vocab.json'],
      message: /: expected vocab\.json and merges\.txt, or tokenizer\.json, got no tokenizer/,
    },
    {
      name: 'tokenizer_2',
      missing: ['merges.txt'],
      message: /tokenizer_2: expected vocab\.json and merges\.txt/,
    },
    {
      name: 'tokenizer_3',
      missing: ['tokenizer.json'],
      message: /expected tokenizer\.json, got no tokenizer; spiece\.model is there, but only tokenizer\.json is read/,
    },
    {
      name: 'tokenizer_3',
      missing: ['tokenizer.json', 'spiece.model'],
      message: /tokenizer_3: expected tokenizer\.json, got no tokenizer$/,
    },
  ] as const)('is refused where $name lacks $missing', async ({ name, missing, message }) => {
    const copy = copyOf(name);
    if (name === 'tokenizer_3') writeFileSync(join(copy, 'spiece.model'), '');
    for (const file of missing) rmSync(join(copy, file));
    await expect(name === 'tokenizer_3' ? loadT5Tokenizer(copy, 8) : loadClipTokenizer(copy)).rejects.toThrow(message);
  });

  it('is refused by the token that the vocabulary lacks, and by a line of merges that is none', async () => {
    const copy = copyOf('tokenizer');
    const config = join(copy, 'tokenizer_config.json');
    const text = readFileSync(config, 'utf8');
    writeFileSync(config, text.replace('"pad_token": "<|endoftext|>"', '"pad_token": "<pad>"'));
    await expect(loadClipTokenizer(copy)).rejects.toThrow(
      /the vocabulary lacks the token "<pad>" that its configuration names/,
    );
    writeFileSync(config, text);
    writeFileSync(join(copy, 'merges.txt'), '#version: 0.2\ni n\nbroken\n');
    await expect(loadClipTokenizer(copy)).rejects.toThrow(/merges\.txt, line 3: expected two tokens and a space/);
  });

  it('needs no configuration of its own', async () => {
    const copy = copyOf('tokenizer');
    for (const file of ['tokenizer_config.json', 'special_tokens_map.json']) rmSync(join(copy, file));
    expect((await loadClipTokenizer(copy)).encode(prompts).ids).toEqual(tokenizers.tokenizer.encode(prompts).ids);
  });

  it('is refused where its tokenizer.json is damaged', async () => {
    const copy = copyOf('tokenizer_3');
    writeFileSync(join(copy, 'tokenizer.json'), '\n\x0e\n\x05<unk>');
    await expect(loadT5Tokenizer(copy, 8)).rejects.toThrow(/tokenizer\.json is not valid JSON/);
    writeFileSync(join(copy, 'tokenizer.json'), '{"model": {}}');
    await expect(loadT5Tokenizer(copy, 8)).rejects.toThrow(/tokenizer\.json is not a tokenizer that is known here/);
  });
});
