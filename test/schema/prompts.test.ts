import { mkdtempSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

import { describe, expect, it } from 'vitest';

import { finetuneSchema } from '../../lib/jobs/settings/finetune.js';
import { readPrompts } from '../../lib/schema/prompts.js';
import { validate } from '../../lib/schema/validate.js';

const folder = mkdtempSync(join(tmpdir(), 'eam-prompts-'));
const file = (name: string, content: string | Uint8Array): string => {
  const path = join(folder, name);
  writeFileSync(path, content);
  return path;
};
const bytes = (...parts: (string | number)[]) =>
  Buffer.concat(parts.map((part) => (typeof part === 'number' ? Buffer.of(part) : Buffer.from(part))));

describe('a file of prompts', () => {
  it.each([
    {
      what: 'a line each, blank ones passed over, # no comment',
      name: 'a.txt',
      content: 'a fox\n\n  # a hash \r\n\t\r\nthe moon',
      prompts: ['a fox', '# a hash', 'the moon'],
    },
    { what: 'a byte order mark', name: 'b.txt', content: bytes(0xef, 0xbb, 0xbf, 'fûchs\n'), prompts: ['fûchs'] },
    {
      what: 'JSON lines',
      name: 'c.jsonl',
      content: '{"prompt": "a fox", "tag": 1}\n\n{"prompt": " zwei\\nZeilen "}\n',
      prompts: ['a fox', 'zwei\nZeilen'],
    },
    {
      what: 'one list in JSON',
      name: 'k.json',
      content: '\n[ "a fox",\n {"prompt": "the moon", "rank": [1, 2]}, " zwei\\nZeilen "]',
      prompts: ['a fox', 'the moon', 'zwei\nZeilen'],
    },
    {
      what: 'UTF-16 that says so',
      name: 'e.txt',
      content: Buffer.from('\ufeffa fûchs\r\n狐\r\n', 'utf16le'),
      prompts: ['a fûchs', '狐'],
    },
    {
      what: 'UTF-16, big end first',
      name: 'f.txt',
      content: bytes(0xfe, 0xff, 0, 'a', 0, '\n', 0, 'b'),
      prompts: ['a', 'b'],
    },
    {
      what: 'a table with a column of prompts',
      name: 'g.csv',
      content: '\ufeffseed,Prompt\r\n3,"a fox, ""red"""\r\n\r\n4, plain "one" \r\n5,"two\nlines"',
      prompts: ['a fox, "red"', 'plain "one"', 'two\nlines'],
    },
    { what: 'a table that ; separates', name: 'h.csv', content: '"prompt";n\na, b;1\n', prompts: ['a, b'] },
    { what: 'a table that tabs separate', name: 'i.tsv', content: 'Category\tPrompt\nx\ta, b\n', prompts: ['a, b'] },
    { what: 'a table of prompts alone', name: 'j.csv', content: 'prompt\na fox\n"b"\n', prompts: ['a fox', 'b'] },
    { what: 'JSON in a text file is text', name: 'd.txt', content: '{"prompt": "a"}', prompts: ['{"prompt": "a"}'] },
  ])('holds $what', ({ name, content, prompts }) => {
    expect(readPrompts(file(name, content))).toEqual(prompts);
  });

  it.each([
    { name: 'empty.txt', content: '', message: /empty\.txt: expected a prompt a line, got none$/ },
    { name: 'blank.txt', content: '\n \n\t\n', message: /blank\.txt: expected a prompt a line, got none$/ },
    { name: 'empty.jsonl', content: '\n', message: /empty\.jsonl: expected a prompt a line, got none$/ },
    {
      name: 'latin1.txt',
      content: bytes('fox\nd', 0xe9, 'tail\n'),
      message: /latin1\.txt, line 2 \(byte 5 of the file\): expected UTF-8 text, got another encoding/,
    },
    { name: 'cut.txt', content: bytes('fox\nmoon\nü', 0xc3), message: /line 3 \(byte 11 of the file\)/ },
    {
      name: 'utf16-without-mark.txt',
      content: Buffer.from('a fox\n', 'utf16le'),
      message: /utf16-without-mark\.txt, line 1: expected text, got a zero byte, as UTF-16 without a byte order mark/,
    },
    {
      name: 'zero.jsonl',
      content: '{"prompt": "a"}\n{"prompt": "b\0"}',
      message: /zero\.jsonl, line 2: expected text, got a zero byte/,
    },
    {
      name: 'utf32.txt',
      content: bytes(0xff, 0xfe, 0, 0, 'f', 0, 0, 0),
      message: /line 1: expected text, got a zero byte/,
    },
    {
      name: 'half.txt',
      content: Buffer.from([0xff, 0xfe, 0x41, 0, 0x42]),
      message: /half\.txt: expected text, got what begins as UTF-16 and goes on otherwise/,
    },
    {
      name: 'pointer.txt',
      content: `version https://git-lfs.github.com/spec/v1\noid sha256:${'0'.repeat(64)}\nsize 9\n`,
      message: /pointer\.txt is a pointer of Git LFS .* run "git lfs pull"/,
    },
    {
      name: 'other.csv',
      content: 'text,seed\na fox,3\n',
      message: /other\.csv, line 1: expected columns' names, one of them "prompt", got "text,seed"/,
    },
    {
      name: 'short.csv',
      content: 'prompt,seed\n"a\nfox",3\nb\n',
      message: /short\.csv, line 4: expected 2 fields, .* got 1/,
    },
    {
      name: 'open.csv',
      content: 'prompt,seed\na,1\n"a fox,3\n',
      message: /open\.csv, line 3: a field's quotation marks/,
    },
    { name: 'after.tsv', content: 'prompt\tseed\n"a"b\t3\n', message: /after\.tsv, line 2: a field's quotation marks/ },
    {
      name: 'blank.csv',
      content: 'prompt,seed\n,3\n',
      message: /blank\.csv, line 2: expected {"prompt": "…"}, got no text there/,
    },
    { name: 'none.csv', content: 'prompt,seed\n\n', message: /none\.csv: expected a prompt a line, got none/ },
    {
      name: 'bad.jsonl',
      content: '{"prompt": "a"}\n{"prompt": \n',
      message: /bad\.jsonl, line 2: expected a JSON object, got no JSON: \S/,
    },
    { name: 'half.json', content: '["a"', message: /half\.json: expected a list of prompts in JSON, got no JSON: \S/ },
    { name: 'items.json', content: '["a", 3]', message: /items\.json, item 2: expected {"prompt": "…"}, got no text/ },
    {
      name: 'blank.json',
      content: '["a", " "]',
      message: /blank\.json, item 2: expected {"prompt": "…"}, got no text/,
    },
    { name: 'empty.json', content: '[]', message: /empty\.json: expected a prompt a line, got none/ },
    {
      name: 'other.jsonl',
      content: '{"text": "a"}\n',
      message: /other\.jsonl, line 1: expected {"prompt": "…"}, got no text there/,
    },
    {
      name: 'number.jsonl',
      content: '{"prompt": 3}\n',
      message: /number\.jsonl, line 1: expected {"prompt": "…"}, got no text there/,
    },
  ])('is refused: $name', ({ name, content, message }) => {
    expect(() => readPrompts(file(name, content))).toThrow(message);
  });

  const config = (prompts: unknown) => ({
    model: 'digits',
    prompts,
    rewards: [{ name: 'stroke-weight' }],
    algorithm: { name: 'eam' },
    optimizer: { learningRate: 1e-3 },
    steps: 1,
  });

  it('stands in for the list in a configuration, which then records the list', () => {
    const path = file('list.txt', '3\n5\n');
    expect(validate(finetuneSchema, config(path), 'x').prompts).toEqual(['3', '5']);
  });

  it.each([
    {
      prompts: 'no such.txt',
      message:
        /^x: prompts: no such\.txt: expected a list of prompts or a file of them, got nothing that .*: ENOENT[^"]*$/,
    },
    { prompts: 3, message: 'x: prompts: expected an array, got 3' },
    { prompts: [], message: 'x: prompts: expected an array of at least 1 items, got []' },
    { prompts: ['a', ''], message: 'x: prompts[1]: expected a string of at least 1 characters, got ""' },
  ])('is named where it cannot be used: $prompts', ({ prompts, message }) => {
    expect(() => validate(finetuneSchema, config(prompts), 'x')).toThrow(message);
  });
});
