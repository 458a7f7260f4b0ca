// A clone without `git lfs pull` has files of three lines in the place of weights, images and vocabularies.

import { cpSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';

import { describe, expect, it } from 'vitest';

import { readPng } from '../../lib/files/png/read.js';
import { readHeader } from '../../lib/files/safetensors.js';
import { convert } from '../../lib/jobs/convert.js';
import { loadModel } from '../../lib/models/registry.js';
import { loadBertTokenizer } from '../../lib/models/tokenizers/bert.js';
import { createRewardList } from '../../lib/rewards/registry.js';
import { torchScript } from '../../lib/rewards/torchscript.js';
import { readPrompts } from '../../lib/schema/prompts.js';
import { temporaryFolder } from '../helpers/tiny-run.js';

const fixtures = fileURLToPath(new URL('../fixtures', import.meta.url));
const pointer = `version https://git-lfs.github.com/spec/v1\noid sha256:${'0'.repeat(64)}\nsize 4940000000\n`;
const refusal = (name: string) =>
  new RegExp(`${name.replaceAll('.', '\\.')}:? .*is a pointer of Git LFS.*git lfs pull`);

describe('a pointer of Git LFS', () => {
  it.each([
    { name: 'weights.safetensors', read: readHeader },
    { name: 'model.safetensors', read: (path: string) => loadModel(path) },
    { name: 'weights.pt', read: (path: string) => convert(path, `${path}.safetensors`) },
    { name: 'module.pt', read: (path: string) => torchScript(path) },
    { name: 'image.png', read: (path: string) => readPng(path) },
    { name: 'prompts.txt', read: async (path: string) => readPrompts(path) },
    { name: 'prompts.jsonl', read: async (path: string) => readPrompts(path) },
    { name: 'vocab.txt', read: (path: string) => loadBertTokenizer(path, 5) },
  ])('is named where $name is to be read', async ({ name, read }) => {
    const path = join(temporaryFolder(), name);
    writeFileSync(path, pointer);
    await expect(read(path)).rejects.toThrow(refusal(name));
  });

  it.each(['transformer/config.json', 'transformer/diffusion_pytorch_model.safetensors', 'tokenizer/vocab.json'])(
    'is named where it is %s of a model',
    async (name) => {
      const directory = temporaryFolder();
      cpSync(join(fixtures, 'sd35-tiny'), directory, { recursive: true });
      writeFileSync(join(directory, name), pointer);
      const draw = async () => {
        using model = await loadModel(directory, { size: { width: 32, height: 32 } });
        await model.prepare(['a fox']);
      };
      await expect(draw()).rejects.toThrow(refusal(name));
    },
  );

  it.each([
    { reward: 'hpsv2', name: 'HPS_v2.1_compressed.pt' },
    { reward: 'hpsv2', name: 'merges.txt' },
    { reward: 'pickscore', name: 'model.safetensors' },
    { reward: 'imagereward', name: 'ImageReward.pt' },
  ] as const)('is named where it is $name of the reward $reward', async ({ reward, name }) => {
    const directory = temporaryFolder();
    cpSync(join(fixtures, 'rewards-tiny', reward), directory, { recursive: true });
    writeFileSync(join(directory, name), pointer);
    await expect(createRewardList([{ name: reward, directory, weight: 1 }] as never, 'cpu')).rejects.toThrow(
      refusal(name),
    );
  });
});
