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

describe("a reward's directory of other shapes", () => {
  it.each<{ name: Name; goldens: number; more: string[] }>([
    { name: 'pickscore', goldens: 7, more: [] },
    { name: 'hpsv2', goldens: 7, more: [] },
    { name: 'imagereward', goldens: 8, more: [] },
    { name: 'aesthetic', goldens: 3, more: ['--tower', directory('pickscore')] },
  ])('is verified as $name', async ({ name, goldens, more }) => {
    const { code, stdout, stderr } = await eam('verify', '--reward', name, directory(name), ...more);
    expect([code, stdout]).toEqual([0, expect.stringMatching(new RegExp(`\n${goldens} of ${goldens} goldens within`))]);
    expect(stdout).toMatch(/pass +little\.grad_images\n/);
    // The second prompt is longer than any of these windows.
    expect(stderr).toMatch(name === 'aesthetic' ? /^$/ : /1 of 2 prompts are longer than the window, and were cut/);
  });

  it.each<{ what: string; name: Name; file: string; edit: (json: Record<string, Record<string, unknown>>) => void }>([
    {
      what: 'heads of the image tower',
      name: 'pickscore',
      file: 'config.json',
      edit: (json) => (json['vision_config']!['num_attention_heads'] = 4),
    },
    {
      what: 'heads of the text tower',
      name: 'pickscore',
      file: 'config.json',
      edit: (json) => (json['text_config']!['num_attention_heads'] = 3),
    },
    {
      what: "the image tower's activation",
      name: 'pickscore',
      file: 'config.json',
      edit: (json) => (json['vision_config']!['hidden_act'] = 'quick_gelu'),
    },
    {
      what: "the text tower's epsilon",
      name: 'pickscore',
      file: 'config.json',
      edit: (json) => (json['text_config']!['layer_norm_eps'] = 0.1),
    },
    {
      what: "the head's width",
      name: 'hpsv2',
      file: 'open_clip_config.json',
      edit: (json) => (json['vision_cfg']!['head_width'] = 5),
    },
    {
      what: 'heads of the text',
      name: 'hpsv2',
      file: 'open_clip_config.json',
      edit: (json) => (json['text_cfg']!['heads'] = 8),
    },
    {
      what: 'heads of the image encoder',
      name: 'imagereward',
      file: 'med_config.json',
      edit: (json) => (json['vision']!['num_heads'] = 4),
    },
    {
      what: 'heads of the text encoder',
      name: 'imagereward',
      file: 'med_config.json',
      edit: (json) => ((json as Record<string, unknown>)['num_attention_heads'] = 2),
    },
  ])('fails where the configuration has other $what', async ({ name, file, edit }) => {
    const copy = copyOf(name);
    editJson(join(copy, file), (json) => edit(json as Record<string, Record<string, unknown>>));
    const { code, stdout } = await eam('verify', '--reward', name, copy);
    expect([code, stdout]).toEqual([1, expect.stringMatching(/FAIL +little\.scores/)]);
  });
});

describe('the window of a text tower', () => {
  const long = ['the snow '.repeat(30)];

  it.each([
    { name: 'pickscore', create: pickScore, length: 20 },
    { name: 'hpsv2', create: hpsv2, length: 24 },
  ] as const)('has the positions that $name has', async ({ name, create, length }) => {
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
