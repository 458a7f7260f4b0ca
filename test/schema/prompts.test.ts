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
    { what: 'JSON in a text file is text', name: 'd.txt', content: '{"prompt": "a"}', prompts: ['{"prompt": "a"}'] },
  ])('may hold $what', ({ name, content, prompts }) => {
    expect(readPrompts(file(name, content))).toEqual(prompts);
  });

  it.each([
    { name: 'empty.txt', content: '', message: /expected a prompt a line; .*empty\.txt holds none/ },
    { name: 'blank.txt', content: '\n \n\t\n', message: /expected a prompt a line; .*blank\.txt holds none/ },
    { name: 'empty.jsonl', content: '\n', message: /empty\.jsonl holds none/ },
    {
      name: 'latin1.txt',
      content: bytes('fox\nd', 0xe9, 'tail\n'),
      message: /expected UTF-8 text; .*latin1\.txt, line 2 \(byte 5 of the file\) is not/,
    },
    { name: 'cut.txt', content: bytes('fox\nmoon\nü', 0xc3), message: /line 3 \(byte 11 of the file\)/ },
    { name: 'utf16.txt', content: Buffer.from('\ufefffox', 'utf16le'), message: /line 1 \(byte 0 of the file\)/ },
    {
      name: 'bad.jsonl',
      content: '{"prompt": "a"}\n{"prompt": \n',
      message: /expected a JSON object a line; .*bad\.jsonl, line 2: /,
    },
    {
      name: 'other.jsonl',
      content: '{"text": "a"}\n',
      message: /expected {"prompt": "…"} a line; .*other\.jsonl, line 1 has no text there/,
    },
    { name: 'number.jsonl', content: '{"prompt": 3}\n', message: /number\.jsonl, line 1 has no text there/ },
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
      message: /^x: prompts: expected a list of prompts or a file of them; no such\.txt cannot be read: ENOENT/,
    },
    { prompts: 3, message: 'x: prompts: expected an array, got 3' },
    { prompts: [], message: 'x: prompts: expected an array of at least 1 items, got []' },
    { prompts: ['a', ''], message: 'x: prompts[1]: expected a string of at least 1 characters, got ""' },
  ])('is named where it cannot be used: $prompts', ({ prompts, message }) => {
    expect(() => validate(finetuneSchema, config(prompts), 'x')).toThrow(message);
  });
});
