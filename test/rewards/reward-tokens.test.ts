import { writeFileSync } from 'node:fs';
import { join } from 'node:path';

import { describe, expect, it } from 'vitest';

import { ConfigError } from '../../lib/errors.js';
import { loadTensors, readHeader } from '../../lib/files/safetensors.js';
import { loadBertTokenizer } from '../../lib/models/tokenizers/bert.js';
import { loadClipTokenizer } from '../../lib/models/tokenizers/clip.js';
import { temporaryFolder } from '../helpers/tiny-run.js';

const fixtures = new URL('../fixtures/rewards-tiny/', import.meta.url).pathname;

async function goldens(name: string, key: string): Promise<{ prompts: string[]; rows: number[][] }> {
  const path = join(fixtures, name, 'goldens.safetensors');
  const prompts = JSON.parse((await readHeader(path)).metadata['prompts']!) as string[];
  const tensor = (await loadTensors(path))[key]!;
  const numbers = Array.from((await tensor.data()) as Int32Array);
  const length = tensor.shape[1]!;
  return { prompts, rows: prompts.map((_, row) => numbers.slice(row * length, (row + 1) * length)) };
}

const plain = (rows: readonly Int32Array[]): number[][] => rows.map((row) => Array.from(row));

describe("CLIP's tokens", () => {
  it.each([
    { name: 'pickscore', padding: undefined },
    { name: 'clipscore', padding: undefined },
    { name: 'hpsv2', padding: 0 },
  ])('are those of $name', async ({ name, padding }) => {
    const { prompts, rows } = await goldens(name, 'ids');
    const { ids, truncated } = (await loadClipTokenizer(join(fixtures, name), { padding })).encode(prompts);
    expect(plain(ids)).toEqual(rows);
    expect(truncated).toBe(1);
  });
});

describe("BERT's tokens", () => {
  const vocabulary = join(fixtures, 'imagereward', 'vocab.txt');

  it('are those of ImageReward, with their mask', async () => {
    const { prompts, rows } = await goldens('imagereward', 'ids');
    const { ids, mask, truncated } = (await loadBertTokenizer(vocabulary, 35)).encode(prompts);
    expect(plain(ids)).toEqual(rows);
    expect(plain(mask)).toEqual((await goldens('imagereward', 'mask')).rows);
    expect(truncated).toBe(1);
  });

  it('are lower case, without accents, and know what BLIP added', async () => {
    const tokenizer = await loadBertTokenizer(vocabulary, 6);
    expect(tokenizer.size).toBe(99);
    const [plainText, accented, added, unknown] = plain(tokenizer.encode(['photo', 'PHÓTO', '[DEC] [ENC]', '猫']).ids);
    expect(accented).toEqual(plainText);
    expect(added).toEqual([2, 97, 98, 3, 0, 0]);
    expect(unknown).toEqual([2, 1, 3, 0, 0, 0]);
  });

  it('keep a text that just fits, and count one that does not', async () => {
    const tokenizer = await loadBertTokenizer(vocabulary, 4);
    expect(tokenizer.encode(['in snow'])).toMatchObject({ truncated: 0 });
    const { ids, truncated } = tokenizer.encode(['in snow two']);
    expect([plain(ids)[0]!.at(-1), truncated]).toEqual([3, 1]);
  });

  it('are refused without a vocabulary', async () => {
    await expect(loadBertTokenizer(join(fixtures, 'nowhere.txt'), 35)).rejects.toThrow(ConfigError);
    const other = join(temporaryFolder(), 'vocab.txt');
    writeFileSync(other, 'a\nb\n');
    await expect(loadBertTokenizer(other, 35)).rejects.toThrow(
      /is no vocabulary of BERT: of its 2 lines none is \[PAD\], \[UNK\], \[CLS\], \[SEP\]/,
    );
  });
});
