// Published rewards of other sizes than the tiny ones', against what the published code computes with them.
import { cpSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';

import { describe, expect, it } from 'vitest';

import { hpsv2, pickScore } from '../../lib/index.js';
import { eam } from '../helpers/command-line.js';
import { editJson } from '../helpers/reward-directories.js';
import { temporaryFolder } from '../helpers/tiny-run.js';

type Name = 'pickscore' | 'hpsv2' | 'imagereward' | 'aesthetic';
const directory = (name: Name): string => fileURLToPath(new URL(`../fixtures/reward-shapes/${name}`, import.meta.url));

function copyOf(name: Name): string {
  const copy = join(temporaryFolder(), name);
  cpSync(directory(name), copy, { recursive: true });
  return copy;
}

describe('a directory of other shapes', () => {
  it.each<[Name, number, string[]]>([
    ['pickscore', 7, []],
    ['hpsv2', 7, []],
    ['imagereward', 8, []],
    ['aesthetic', 3, ['--tower', directory('pickscore')]],
  ])('is verified: %s', async (name, goldens, more) => {
    const { code, stdout, stderr } = await eam('verify', '--reward', name, directory(name), ...more);
    expect([code, stdout]).toEqual([0, expect.stringMatching(new RegExp(`\n${goldens} of ${goldens} goldens within`))]);
    expect(stdout).toMatch(/pass +little\.grad_images\n/);
    // The second prompt is longer than any of these windows.
    expect(stderr).toMatch(name === 'aesthetic' ? /^$/ : /1 of 2 prompts are longer than the window, and were cut/);
  });

  it.each<[string, Name, string, (json: Record<string, Record<string, unknown>>) => void]>([
    [
      'heads of the image tower',
      'pickscore',
      'config.json',
      (json) => (json['vision_config']!['num_attention_heads'] = 4),
    ],
    [
      'heads of the text tower',
      'pickscore',
      'config.json',
      (json) => (json['text_config']!['num_attention_heads'] = 3),
    ],
    [
      "the image tower's activation",
      'pickscore',
      'config.json',
      (json) => (json['vision_config']!['hidden_act'] = 'quick_gelu'),
    ],
    ["the text tower's epsilon", 'pickscore', 'config.json', (json) => (json['text_config']!['layer_norm_eps'] = 0.1)],
    ["the head's width", 'hpsv2', 'open_clip_config.json', (json) => (json['vision_cfg']!['head_width'] = 5)],
    ['heads of the text', 'hpsv2', 'open_clip_config.json', (json) => (json['text_cfg']!['heads'] = 8)],
    ['heads of the image encoder', 'imagereward', 'med_config.json', (json) => (json['vision']!['num_heads'] = 4)],
    [
      'heads of the text encoder',
      'imagereward',
      'med_config.json',
      (json) => ((json as Record<string, unknown>)['num_attention_heads'] = 2),
    ],
  ])('fails where the configuration has other %s', async (_, name, file, edit) => {
    const copy = copyOf(name);
    editJson(join(copy, file), (json) => edit(json as Record<string, Record<string, unknown>>));
    const { code, stdout } = await eam('verify', '--reward', name, copy);
    expect([code, stdout]).toEqual([1, expect.stringMatching(/FAIL +little\.scores/)]);
  });
});

describe('the window of a text tower', () => {
  const long = ['the snow '.repeat(30)];

  it.each([
    ['pickscore', pickScore, 20],
    ['hpsv2', hpsv2, 24],
  ] as const)('is the positions that %s has', async (name, create, length) => {
    using reward = create(directory(name));
    expect((await reward.tokens(long))!.ids.shape).toEqual([1, length]);
    expect(reward.truncatedPrompts).toBe(1);
  });

  it('is shorter where the tokenizer says so', async () => {
    const copy = copyOf('pickscore');
    writeFileSync(join(copy, 'tokenizer_config.json'), JSON.stringify({ model_max_length: 9 }));
    using reward = pickScore(copy);
    const ids = (await reward.tokens(long))!.ids;
    expect(ids.shape).toEqual([1, 9]);
    const vocabulary = JSON.parse(readFileSync(join(copy, 'vocab.json'), 'utf8')) as Record<string, number>;
    expect(Number(((await ids.data()) as BigInt64Array)[8])).toBe(vocabulary['<|endoftext|>']);
  });
});
