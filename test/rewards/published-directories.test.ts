// What a user's files may be like; that the numbers are right is in published-rewards.test.ts.
import { cpSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';

import { describe, expect, it } from 'vitest';

import { convert } from '../../lib/jobs/convert.js';
import { CheckpointError } from '../../lib/errors.js';
import { aesthetic } from '../../lib/index.js';
import { loadTensors, saveTensors } from '../../lib/files/safetensors.js';
import { Tensor } from '../../lib/runtime/native/tensor.js';
import { eam } from '../helpers/command-line.js';
import { numbersOf } from '../helpers/numbers.js';
import {
  copyOf,
  editJson,
  goldensOf,
  publishedReward,
  rewardDirectory,
  type RewardName,
} from '../helpers/reward-directories.js';
import { temporaryFolder } from '../helpers/tiny-run.js';

/** Why a directory is refused. */
async function refusal(name: RewardName, directory: string): Promise<Error> {
  const error = await publishedReward(name, directory)
    .load()
    .then(
      () => undefined,
      (caught: unknown) => caught,
    );
  expect(error).toBeInstanceOf(Error);
  return error as Error;
}

async function rewriteTensors(directory: string, edit: (tensors: Record<string, Tensor>) => void): Promise<void> {
  const path = join(directory, 'model.safetensors');
  const tensors = { ...(await loadTensors(path)) };
  edit(tensors);
  await saveTensors(`${path}.new`, tensors);
  renameSync(`${path}.new`, path);
}

describe('directories of published rewards', () => {
  it.each([
    { name: 'hpsv2', file: 'HPS_v2.1_compressed.pt' },
    { name: 'imagereward', file: 'ImageReward.pt' },
    { name: 'aesthetic', file: 'sac+logos+ava1-l14-linearMSE.pth' },
  ] as const)('are accepted with converted weights of $name', async ({ name, file }) => {
    const copy = copyOf(name);
    const out = join(copy, file.replace(/\.\w+$/, '.safetensors'));
    expect(await eam('convert', join(copy, file), out)).toMatchObject({
      code: 0,
      stderr: expect.stringMatching(/\.safetensors: \d+ tensors, \d+ numbers/) as unknown,
    });
    expect(await eam('convert', join(copy, file), out)).toMatchObject({
      code: 2,
      stderr: expect.stringMatching(/is there already; --force/) as unknown,
    });
    expect(await eam('convert', join(copy, file), out, '--force', '--quiet')).toMatchObject({ code: 0, stderr: '' });
    rmSync(join(copy, file));
    const { tensors, prompts } = await goldensOf(name);
    const images = tensors['wide.images']!;
    expect(await publishedReward(name, copy).score(images, prompts)).toEqual(
      await publishedReward(name).score(images, prompts),
    );
  });

  it('are refused with files that torch.save did not write', async () => {
    const folder = temporaryFolder();
    writeFileSync(join(folder, 'x.pt'), '\x80\x02cos\nsystem\n');
    await expect(convert(join(folder, 'x.pt'), join(folder, 'x.safetensors'))).rejects.toThrow(CheckpointError);
    await expect(convert(join(folder, 'x.pt'), join(folder, 'x.pt'))).rejects.toThrow(
      /expected a file that ends in \.safetensors/,
    );
  });

  it('are accepted with a configuration from before transformers 4.31', async () => {
    const copy = copyOf('pickscore');
    editJson(join(copy, 'config.json'), (json) => {
      json['text_config_dict'] = { ...(json['text_config'] as object), eos_token_id: 2, hidden_act: 'gelu' };
      json['text_config'] = { eos_token_id: 2, hidden_act: 'quick_gelu', bos_token_id: null };
      json['vision_config_dict'] = null;
    });
    const { tensors, prompts } = await goldensOf('pickscore');
    const images = tensors['square.images']!;
    expect(await publishedReward('pickscore', copy).score(images, prompts)).toEqual(
      await publishedReward('pickscore').score(images, prompts),
    );
  });

  it.each<{ name: RewardName; directory: string; message: RegExp }>([
    {
      name: 'pickscore',
      directory: fileURLToPath(new URL('../fixtures/sd35-tiny', import.meta.url)),
      message: new RegExp(
        String.raw`sd35-tiny: expected PickScore, a CLIPModel .* got .*model_index\.json.* ` +
          String.raw`\(a diffusion pipeline\); there is no config\.json$`,
      ),
    },
    {
      name: 'clipscore',
      directory: fileURLToPath(new URL('../fixtures/sd35-tiny/text_encoder', import.meta.url)),
      message: /expected CLIP, .* got .*; config\.json is of model_type "clip_text_model", not "clip"$/,
    },
    {
      name: 'clipscore',
      directory: fileURLToPath(new URL('../fixtures/sd35-tiny/vae', import.meta.url)),
      message: /config\.json is of model_type "AutoencoderKL", not "clip"/,
    },
    {
      name: 'hpsv2',
      directory: rewardDirectory('pickscore'),
      message: new RegExp(
        String.raw`expected HPSv2\.1.*, got config\.json, .*; there is no HPS_v2\.1_compressed\.safetensors or ` +
          String.raw`HPS_v2\.1_compressed\.pt$`,
      ),
    },
    {
      name: 'imagereward',
      directory: rewardDirectory('hpsv2'),
      message: /expected ImageReward: .*, got .*; there is no med_config\.json$/,
    },
    {
      name: 'aesthetic',
      directory: rewardDirectory('clipscore'),
      message: /expected LAION's aesthetic predictor, got .*; there is no sac\S+\.safetensors or sac\S+\.pth$/,
    },
    {
      name: 'pickscore',
      directory: join(rewardDirectory('pickscore'), 'nowhere'),
      message: /nowhere: expected PickScore, .*, got nothing that can be read: ENOENT/,
    },
  ])('are refused as $name where they are of another family', async ({ name, directory, message }) => {
    const error = await refusal(name, directory);
    expect(error).toBeInstanceOf(CheckpointError);
    expect(error.message).toMatch(message);
  });

  it.each<{ what: string; edit: (tensors: Record<string, Tensor>) => void; message: RegExp }>([
    {
      what: 'a missing',
      edit: (tensors) => delete tensors['visual_projection.weight'],
      message: /visual_projection\.weight/,
    },
    {
      what: 'an extra',
      edit: (tensors) => (tensors['vision_model.extra'] = Tensor.from([1], [1])),
      message: /vision_model\.extra/,
    },
    {
      what: 'a misshapen',
      edit: (tensors) => (tensors['text_projection.weight'] = Tensor.from([1, 2], [1, 2])),
      message: /text_projection\.weight: expected shape \[24, 16\], got \[1, 2\]/,
    },
  ])('are refused by the name of $what tensor', async ({ edit, message }) => {
    const copy = copyOf('clipscore');
    await rewriteTensors(copy, edit);
    const error = await refusal('clipscore', copy);
    expect(error).toBeInstanceOf(CheckpointError);
    expect(error.message).toMatch(message);
    // The folder tells which of a job's rewards it was.
    expect(error.message).toContain(copy);
  });

  it.each<{ what: string; name: RewardName; edit: (directory: string) => unknown; message: RegExp }>([
    {
      what: 'the text tower alone',
      name: 'clipscore',
      edit: (directory) =>
        rewriteTensors(directory, (tensors) => {
          for (const key of Object.keys(tensors)) if (key.startsWith('vision_model.')) delete tensors[key];
        }),
      message: /: expected the tensors of a CLIPModel, vision_model\.\* among them, got \d+ others, the first/,
    },
    {
      what: 'weights that are not converted',
      name: 'clipscore',
      edit: (directory) => renameSync(join(directory, 'model.safetensors'), join(directory, 'pytorch_model.bin')),
      message: /no model\.safetensors; "eam convert" makes it from pytorch_model\.bin/,
    },
    {
      what: 'sizes that do not agree',
      name: 'pickscore',
      edit: (directory) =>
        editJson(join(directory, 'preprocessor_config.json'), (json) => (json['size'] = { shortest_edge: 40 })),
      message: /size and crop_size: expected vision_config's image_size, 32, got 40, 32/,
    },
    {
      what: 'another filter',
      name: 'pickscore',
      edit: (directory) => editJson(join(directory, 'preprocessor_config.json'), (json) => (json['resample'] = 2)),
      message: /resample: expected 3, got 2/,
    },
    {
      what: 'another activation',
      name: 'pickscore',
      edit: (directory) =>
        editJson(join(directory, 'config.json'), (json) =>
          Object.assign(json['text_config'] as object, { hidden_act: 'relu' }),
        ),
      message: /text_config\.hidden_act: expected one of "gelu", "quick_gelu", got "relu"/,
    },
    {
      what: 'no tokenizer',
      name: 'hpsv2',
      edit: (directory) => rmSync(join(directory, 'merges.txt')),
      message: /: expected vocab\.json and merges\.txt, or tokenizer\.json, got no tokenizer/,
    },
    {
      what: 'heads that nothing tells',
      name: 'hpsv2',
      edit: (directory) => rmSync(join(directory, 'open_clip_config.json')),
      message: /: expected towers of 1280 and 1024 numbers, those of ViT-H-14, got 32 and 16; .*open_clip_config\.json/,
    },
    {
      what: 'heads that do not fit',
      name: 'hpsv2',
      edit: (directory) =>
        editJson(join(directory, 'open_clip_config.json'), (json) =>
          Object.assign(json['vision_cfg'] as object, { head_width: 5 }),
        ),
      message:
        /open_clip_config\.json, vision_cfg\.head_width: expected a tower of a multiple of 5 numbers, .*, got 32/,
    },
    {
      what: 'heads that do not divide a tower',
      name: 'pickscore',
      edit: (directory) =>
        editJson(join(directory, 'config.json'), (json) =>
          Object.assign(json['vision_config'] as object, { num_attention_heads: 3 }),
        ),
      message: /pickscore: clip-reward: width: expected a multiple of heads 3, got 32/,
    },
    {
      what: 'an end that no text has',
      name: 'pickscore',
      edit: (directory) =>
        editJson(join(directory, 'config.json'), (json) =>
          Object.assign(json['text_config'] as object, { eos_token_id: 5 }),
        ),
      message: /config\.json: text_config\.eos_token_id: expected the id of the token .*, got 5/,
    },
    {
      what: 'a configuration that is none',
      name: 'hpsv2',
      edit: (directory) => writeFileSync(join(directory, 'open_clip_config.json'), 'null'),
      message: /open_clip_config\.json: .*expected an object, got null/,
    },
    {
      what: 'heads of another BLIP',
      name: 'imagereward',
      edit: (directory) => editJson(join(directory, 'med_config.json'), (json) => delete json['vision']),
      message: /ImageReward\.pt; .*"vision" says num_heads: expected a tower of a multiple of 64 numbers, .*, got 32/,
    },
    {
      what: 'no vocabulary',
      name: 'imagereward',
      edit: (directory) => rmSync(join(directory, 'vocab.txt')),
      message: /expected ImageReward's vocab\.txt, .*, got .*; there is no vocab\.txt$/,
    },
    {
      what: 'another vocabulary',
      name: 'imagereward',
      edit: (directory) => writeFileSync(join(directory, 'vocab.txt'), '[PAD]\n[UNK]\n[CLS]\n[SEP]\n'),
      message: /vocab\.txt: expected 99 tokens, \[DEC\] and \[ENC\] included, as med_config\.json .*, got 6/,
    },
    {
      what: 'no head',
      name: 'aesthetic',
      edit: (directory) => rmSync(join(directory, 'sac+logos+ava1-l14-linearMSE.pth')),
      message: new RegExp(
        "expected LAION's aesthetic predictor, got nothing; there is no " +
          String.raw`sac\+logos\+ava1-l14-linearMSE\.safetensors or `,
      ),
    },
    {
      what: 'the head of another network',
      name: 'aesthetic',
      edit: (directory) => {
        rmSync(join(directory, 'sac+logos+ava1-l14-linearMSE.pth'));
        cpSync(
          join(rewardDirectory('clipscore'), 'model.safetensors'),
          join(directory, 'sac+logos+ava1-l14-linearMSE.safetensors'),
        );
      },
      message: /the first: expected the linear layers of LAION's aesthetic predictor, got no layers\.0\.weight of two/,
    },
    {
      what: 'the head of another width',
      name: 'aesthetic',
      edit: async (directory) => {
        rmSync(join(directory, 'sac+logos+ava1-l14-linearMSE.pth'));
        await saveTensors(join(directory, 'sac+logos+ava1-l14-linearMSE.safetensors'), {
          'layers.0.weight': Tensor.from(new Float32Array(2 * 768), [2, 768]),
        });
      },
      message: /the head: expected features of 24 numbers, as .*clipscore gives, got 768/,
    },
  ])('are refused with $what', async ({ name, edit, message }) => {
    const copy = copyOf(name);
    await edit(copy);
    expect((await refusal(name, copy)).message).toMatch(message);
  });
});

describe('an aesthetic predictor without its tower', () => {
  const without = new RegExp(
    'aesthetic: expected the setting "tower" with .*--reward aesthetic=DIRECTORY,tower=DIRECTORY; eam verify: ' +
      String.raw`--tower DIRECTORY\), got sac\+.*; no "tower" is given, and no CLIPModel lies here`,
  );

  it('is refused with the setting that names one', async () => {
    const copy = copyOf('aesthetic');
    await expect(aesthetic(copy).load()).rejects.toThrow(without);
    // One that is given and holds none is another matter.
    await expect(aesthetic(copy, { tower: rewardDirectory('imagereward') }).load()).rejects.toThrow(
      /imagereward: expected the aesthetic predictor's tower, .*; there is no config\.json/,
    );
    await expect(aesthetic(join(copy, 'nowhere')).load()).rejects.toThrow(
      /nowhere: expected LAION's aesthetic predictor, got nothing that can be read: ENOENT/,
    );
  });

  it('is accepted beside one', async () => {
    const copy = copyOf('clipscore');
    cpSync(
      join(rewardDirectory('aesthetic'), 'sac+logos+ava1-l14-linearMSE.pth'),
      join(copy, 'sac+logos+ava1-l14-linearMSE.pth'),
    );
    const { tensors, prompts } = await goldensOf('aesthetic');
    const { values } = await aesthetic(copy).score(tensors['wide.images']!, prompts);
    const golden = await numbersOf(tensors['wide.scores']!);
    for (const [image, value] of golden.entries()) expect(values[image]).toBeCloseTo(value, 4);
  });
});
