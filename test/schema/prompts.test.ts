import { mkdtempSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

import { describe, expect, it } from 'vitest';

import { finetuneSchema } from '../../lib/jobs/config/finetune.js';
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
    [
      'a line each, blank ones passed over, # no comment',
      'a.txt',
      'a fox\n\n  # a hash \r\n\t\r\nthe moon',
      ['a fox', '# a hash', 'the moon'],
    ],
    ['a byte order mark', 'b.txt', bytes(0xef, 0xbb, 0xbf, 'fûchs\n'), ['fûchs']],
    [
      'JSON lines',
      'c.jsonl',
      '{"prompt": "a fox", "tag": 1}\n\n{"prompt": " zwei\\nZeilen "}\n',
      ['a fox', 'zwei\nZeilen'],
    ],
    ['JSON in a text file is text', 'd.txt', '{"prompt": "a"}', ['{"prompt": "a"}']],
  ])('may hold %s', (_, name, content, prompts) => {
    expect(readPrompts(file(name, content))).toEqual(prompts);
  });

  it.each([
    ['empty.txt', '', /expected a prompt a line; .*empty\.txt holds none/],
    ['blank.txt', '\n \n\t\n', /expected a prompt a line; .*blank\.txt holds none/],
    ['empty.jsonl', '\n', /empty\.jsonl holds none/],
    [
      'latin1.txt',
      bytes('fox\nd', 0xe9, 'tail\n'),
      /expected UTF-8 text; .*latin1\.txt, line 2 \(byte 5 of the file\) is not/,
    ],
    ['cut.txt', bytes('fox\nmoon\nü', 0xc3), /line 3 \(byte 11 of the file\)/],
    ['utf16.txt', Buffer.from('\ufefffox', 'utf16le'), /line 1 \(byte 0 of the file\)/],
    ['bad.jsonl', '{"prompt": "a"}\n{"prompt": \n', /expected a JSON object a line; .*bad\.jsonl, line 2: /],
    ['other.jsonl', '{"text": "a"}\n', /expected {"prompt": "…"} a line; .*other\.jsonl, line 1 has no text there/],
    ['number.jsonl', '{"prompt": 3}\n', /number\.jsonl, line 1 has no text there/],
  ])('is refused: %s', (name, content, message) => {
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
    ['no such.txt', /^x: prompts: expected a list of prompts or a file of them; no such\.txt cannot be read: ENOENT/],
    [3, 'x: prompts: expected an array, got 3'],
    [[], 'x: prompts: expected an array of at least 1 items, got []'],
    [['a', ''], 'x: prompts[1]: expected a string of at least 1 characters, got ""'],
  ])('is named where it cannot be used: %j', (prompts, message) => {
    expect(() => validate(finetuneSchema, config(prompts), 'x')).toThrow(message);
  });
});
