// What a user's files and images may be like; that the numbers are right is in published-rewards.test.ts.
import { cpSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';

import { describe, expect, it, vi } from 'vitest';

import { convert } from '../../lib/jobs/convert.js';
import { CheckpointError, ConfigError, ShapeError } from '../../lib/errors.js';
import { aesthetic } from '../../lib/index.js';
import { binding } from '../../lib/runtime/native/index.js';
import { createRewards, rewardSchema } from '../../lib/rewards/registry.js';
import { loadTensors, saveTensors } from '../../lib/files/safetensors.js';
import { Tensor } from '../../lib/runtime/native/tensor.js';
import { eam } from '../helpers/command-line.js';
import {
  copyOf,
  editJson,
  goldensOf,
  publishedReward,
  rewardDirectory,
  rewardNames,
  type RewardName,
} from '../helpers/reward-directories.js';
import { temporaryFolder } from '../helpers/tiny-run.js';

const floats = async (tensor: Tensor): Promise<number[]> => Array.from((await tensor.data()) as Float32Array);

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

describe('eam verify --reward', () => {
  it.each(rewardNames)('finds all goldens of %s', async (name) => {
    const { code, stdout } = await eam('verify', '--reward', name, rewardDirectory(name));
    expect([code, stdout]).toEqual([0, expect.stringMatching(/(\d+) of \1 goldens within/)]);
    for (const golden of [
      'square.scores',
      'wide.grad_images',
      'wide.pixel_values',
      ...(name === 'aesthetic' ? [] : ['ids']),
    ]) {
      expect(stdout).toMatch(new RegExp(`pass +${golden}\n`));
    }
  });

  it('fails where heads are counted otherwise, a prompt is another and PIL had other bytes', async () => {
    const copy = copyOf('hpsv2');
    cpSync(join(rewardDirectory('hpsv2'), 'goldens.safetensors'), join(copy, 'goldens.safetensors'));
    editJson(join(copy, 'open_clip_config.json'), (json) =>
      Object.assign(json['vision_cfg'] as object, { head_width: 16 }),
    );
    const { code, stdout, stderr } = await eam('verify', '--reward', 'hpsv2', copy);
    expect([code, stderr]).toEqual([1, expect.stringMatching(/4 of 7 goldens differ/)]);
    expect(stdout).toMatch(/FAIL +square.scores/);
    const other = copyOf('pickscore');
    const { tensors, prompts } = await goldensOf('pickscore');
    const bytes = ((await tensors['pil.input_uint8']!.data()) as Uint8Array).map((byte) => byte ^ 16);
    const spoilt = { ...tensors, 'pil.input_uint8': Tensor.from(bytes, tensors['pil.input_uint8']!.shape) };
    await saveTensors(join(other, 'goldens.safetensors'), spoilt, {
      prompts: JSON.stringify([prompts[0], 'another', ...prompts.slice(2)]),
    });
    const result = await eam('verify', '--reward', 'pickscore', other);
    expect(result.code).toBe(1);
    for (const golden of ['ids', 'square.scores', 'pil.pixel_values'])
      expect(result.stdout).toMatch(new RegExp(`FAIL +${golden}`));
    expect(result.stdout).toMatch(/pass +square.pixel_values/);
  });

  it('knows the five rewards, and takes the tower of the aesthetic predictor', async () => {
    expect((await eam('verify', '--reward', 'hps', rewardDirectory('hpsv2'))).stderr).toMatch(
      /those that can be: pickscore, clipscore, hpsv2, imagereward, aesthetic/,
    );
    const copy = copyOf('aesthetic');
    cpSync(join(rewardDirectory('aesthetic'), 'goldens.safetensors'), join(copy, 'goldens.safetensors'));
    expect(await eam('verify', '--reward', 'aesthetic', copy)).toMatchObject({
      code: 1,
      stderr: expect.stringMatching(/no "tower" is given, .*eam verify: --tower DIRECTORY/) as unknown,
    });
    expect(await eam('verify', '--reward', 'aesthetic', copy, '--tower', rewardDirectory('clipscore'))).toMatchObject({
      code: 0,
    });
  });
});

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
        String.raw`there is no config\.json; expected PickScore, a CLIPModel .* found .*model_index\.json.* ` +
          String.raw`\(a diffusion pipeline\)`,
      ),
    },
    {
      name: 'clipscore',
      directory: fileURLToPath(new URL('../fixtures/sd35-tiny/text_encoder', import.meta.url)),
      message: /config\.json is of model_type "clip_text_model", not "clip"; expected CLIP/,
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
        String.raw`there is no HPS_v2\.1_compressed\.safetensors or HPS_v2\.1_compressed\.pt; expected ` +
          String.raw`HPSv2\.1.*found config\.json, `,
      ),
    },
    {
      name: 'imagereward',
      directory: rewardDirectory('hpsv2'),
      message: /there is no med_config\.json; expected ImageReward/,
    },
    {
      name: 'aesthetic',
      directory: rewardDirectory('clipscore'),
      message: /there is no sac\+logos\+ava1-l14-linearMSE\.safetensors or .*\.pth; expected LAION/,
    },
    {
      name: 'pickscore',
      directory: join(rewardDirectory('pickscore'), 'nowhere'),
      message: /cannot read .*nowhere: ENOENT.*; expected PickScore/,
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
      message: /text_projection\.weight.*\[1, 2\].*\[24, 16\]/,
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
      message: /has no tensors vision_model\.\*, expected those of a CLIPModel; it has \d+, the first are/,
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
      message: /size and crop_size are 40, 32, expected vision_config's image_size, 32/,
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
      message: /holds no tokenizer: expected vocab\.json and merges\.txt/,
    },
    {
      what: 'heads that nothing tells',
      name: 'hpsv2',
      edit: (directory) => rmSync(join(directory, 'open_clip_config.json')),
      message: /towers of 32 and 16 numbers, expected those of ViT-H-14, 1280 and 1024; .*open_clip_config\.json/,
    },
    {
      what: 'heads that do not fit',
      name: 'hpsv2',
      edit: (directory) =>
        editJson(join(directory, 'open_clip_config.json'), (json) =>
          Object.assign(json['vision_cfg'] as object, { head_width: 5 }),
        ),
      message: /open_clip_config\.json, vision_cfg\.head_width: a tower of 32 numbers has no heads of 5/,
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
      message: /config\.json, text_config\.eos_token_id is 5, a token that the tokenizer ends no text with/,
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
      message: /ImageReward\.pt; .*"vision" says num_heads: a tower of 32 numbers has no heads of 64/,
    },
    {
      what: 'no vocabulary',
      name: 'imagereward',
      edit: (directory) => rmSync(join(directory, 'vocab.txt')),
      message: /there is no vocab\.txt; expected ImageReward's vocab\.txt/,
    },
    {
      what: 'another vocabulary',
      name: 'imagereward',
      edit: (directory) => writeFileSync(join(directory, 'vocab.txt'), '[PAD]\n[UNK]\n[CLS]\n[SEP]\n'),
      message: /vocabulary of 6 tokens, \[DEC\] and \[ENC\] included, and med_config\.json one of 99/,
    },
    {
      what: 'no head',
      name: 'aesthetic',
      edit: (directory) => rmSync(join(directory, 'sac+logos+ava1-l14-linearMSE.pth')),
      message: new RegExp(
        String.raw`there is no sac\+logos\+ava1-l14-linearMSE\.safetensors or .*; expected LAION's aesthetic ` +
          'predictor, found nothing',
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
      message: /has no layers\.0\.weight of two dimensions, expected the linear layers/,
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
      message: /reads features of 768 numbers, and the tower, .*clipscore, gives 24/,
    },
  ])('are refused with $what', async ({ name, edit, message }) => {
    const copy = copyOf(name);
    await edit(copy);
    expect((await refusal(name, copy)).message).toMatch(message);
  });
});

describe('an aesthetic predictor without its tower', () => {
  const without = new RegExp(
    'aesthetic: no "tower" is given, and no CLIPModel lies here; expected the setting "tower" with ' +
      String.raw`.*--reward aesthetic=DIRECTORY,tower=DIRECTORY; eam verify: --tower DIRECTORY\), found sac\+`,
  );

  it('is refused with the setting that names one', async () => {
    const copy = copyOf('aesthetic');
    await expect(aesthetic(copy).load()).rejects.toThrow(without);
    // One that is given and holds none is another matter.
    await expect(aesthetic(copy, { tower: rewardDirectory('imagereward') }).load()).rejects.toThrow(
      /imagereward: there is no config\.json; expected the aesthetic predictor's tower/,
    );
    await expect(aesthetic(join(copy, 'nowhere')).load()).rejects.toThrow(
      /cannot read .*nowhere: ENOENT.*; expected LAION's aesthetic predictor/,
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
    const golden = await floats(tensors['wide.scores']!);
    for (const [image, value] of golden.entries()) expect(values[image]).toBeCloseTo(value, 4);
  });
});

describe('published rewards', () => {
  const wide = async () => (await goldensOf('pickscore')).tensors['wide.images']!;

  it.each(rewardNames)('score images of any shape: %s', async (name) => {
    const reward = publishedReward(name);
    for (const [height, width] of [
      [1, 1],
      [1, 400],
      [400, 2],
      [32, 32],
    ] as const) {
      const images = Tensor.from(
        Float32Array.from({ length: 3 * height * width }, (_, index) => (index % 7) / 6),
        [1, 3, height, width],
      );
      const { values, grad } = await reward.score(images, ['a fox'], { gradient: true });
      expect(grad!.shape).toEqual([1, 3, height, width]);
      expect([Number.isFinite(values[0]), (await floats(grad!)).every(Number.isFinite)]).toEqual([true, true]);
    }
  });

  it.each(rewardNames)('keep an image that is not finite to its own value: %s', async (name) => {
    const images = await wide();
    const prompts = ['a', 'b', 'c', 'd'];
    const clean = await publishedReward(name).score(images, prompts);
    const data = ((await images.data()) as Float32Array).slice();
    data[3 * 48 * 80 + 40 * 80 + 40] = NaN;
    const { values, grad } = await publishedReward(name).score(Tensor.from(data, images.shape), prompts, {
      gradient: true,
    });
    expect(Array.from(values, Number.isFinite)).toEqual([true, false, true, true]);
    for (const image of [0, 2, 3]) expect(values[image]).toBeCloseTo(clean.values[image]!, 5);
    const rows = await floats(grad!);
    expect(rows.slice(0, 3 * 48 * 80).every(Number.isFinite)).toBe(true);
  });

  it('refuse images of one channel', async () => {
    const gray = Tensor.from(new Float32Array(64), [1, 1, 8, 8]);
    await expect(publishedReward('hpsv2').score(gray, ['p'])).rejects.toThrow(
      /hpsv2: images: expected shape \[1, 3, height, width\], .*, got \[1, 1, 8, 8\]/,
    );
    await expect(publishedReward('hpsv2').score(gray, ['p'])).rejects.toThrow(ShapeError);
    await expect(publishedReward('hpsv2').score(await wide(), ['p'])).rejects.toThrow(
      /expected shape \[1, 3, height, width\]/,
    );
    await expect(
      publishedReward('hpsv2').score(Tensor.from(new Float32Array(3), [1, 3, 1, 1]), [undefined as unknown as string]),
    ).rejects.toThrow(/prompts\[0\]: expected a string, got undefined/);
  });

  it('cut prompts that are too long, count them and say so once', async () => {
    const onNote = vi.fn();
    const reward = publishedReward('imagereward', undefined, { onNote });
    const [long, short] = ['a bowl of ramen '.repeat(40), 'ramen'];
    expect(reward.truncatedPrompts).toBe(0);
    for (let time = 0; time < 2; time++) await reward.score(await wide(), [long, short, long, `${long} too`]);
    expect(reward.truncatedPrompts).toBe(2);
    expect(onNote.mock.calls).toEqual([
      [expect.stringMatching(/^imagereward: cut a prompt that is longer than its window: "a bowl of ramen .*…"$/)],
      [expect.anything()],
    ]);
  });
});

describe('the options of published rewards', () => {
  it('let a batch be scored in slices, with the same values and gradient', async () => {
    const { tensors, prompts } = await goldensOf('imagereward');
    const images = tensors['square.images']!;
    const [whole, sliced] = [publishedReward('imagereward'), publishedReward('imagereward', undefined, { slice: 3 })];
    const [a, b] = await Promise.all(
      [whole, sliced].map((reward) => reward.score(images, prompts, { gradient: true })),
    );
    for (const [image, value] of a!.values.entries()) expect(b!.values[image]).toBeCloseTo(value, 5);
    const [left, right] = [await floats(a!.grad!), await floats(b!.grad!)];
    const scale = Math.max(...left.map(Math.abs));
    expect(Math.max(...left.map((value, index) => Math.abs(value - right[index]!)))).toBeLessThan(1e-5 * scale);
  });

  it('let a reward compute in bfloat16, near float32', async () => {
    const { tensors, prompts } = await goldensOf('pickscore');
    const half = await publishedReward('pickscore', undefined, { dtype: 'bfloat16' }).score(
      tensors['square.images']!,
      prompts,
      { gradient: true },
    );
    const exact = await publishedReward('pickscore').score(tensors['square.images']!, prompts);
    expect(half.grad!.dtype).toBe('float32');
    for (const [image, value] of exact.values.entries()) {
      expect(Math.abs(half.values[image]! - value)).toBeLessThan(0.5);
      expect(half.values[image]).not.toBe(value);
    }
  });

  it('let images be resized in bytes, without a gradient', async () => {
    const { tensors, prompts } = await goldensOf('pickscore');
    const reward = publishedReward('pickscore', undefined, { asReference: true });
    await expect(reward.score(tensors['wide.images']!, prompts, { gradient: true })).rejects.toThrow(/bytes/);
    const { values } = await reward.score(tensors['wide.images']!, prompts);
    const golden = await floats(tensors['wide.scores']!);
    for (const [image, value] of golden.entries()) expect(values[image]).toBeCloseTo(value, 0);
  });

  it('come from a configuration by name, and are checked before anything runs', async () => {
    const parse = (config: object) => rewardSchema.parse(config);
    const reward = await createRewards(
      [
        parse({ name: 'pickscore', directory: rewardDirectory('pickscore'), weight: 0.5, slice: 2 }),
        parse({
          name: 'aesthetic',
          directory: rewardDirectory('aesthetic'),
          tower: rewardDirectory('clipscore'),
          weight: 2,
        }),
        parse({
          name: 'hpsv2',
          directory: rewardDirectory('hpsv2'),
          dtype: 'float32',
          tokenizer: rewardDirectory('pickscore'),
        }),
      ],
      'cpu',
    );
    const { tensors, prompts } = await goldensOf('pickscore');
    const { values, parts, weights } = await reward.score(tensors['square.images']!, prompts);
    expect(weights).toEqual({ pickscore: 0.5, aesthetic: 2, hpsv2: 1 });
    const golden = await floats(tensors['square.scores']!);
    for (const [image, value] of golden.entries()) {
      expect(parts!['pickscore']![image]).toBeCloseTo(value, 4);
      expect(values[image]).toBeCloseTo(0.5 * value + 2 * parts!['aesthetic']![image]! + parts!['hpsv2']![image]!, 5);
    }
    await expect(createRewards([parse({ name: 'clipscore', directory: 'nowhere' })], 'cpu')).rejects.toThrow(
      CheckpointError,
    );
    expect(() => parse({ name: 'clipscore' })).toThrow(/directory/);
    await expect(publishedReward('pickscore', undefined, { device: 'tpu' }).load()).rejects.toThrow(ConfigError);
  });

  it('are kept by a reward that was disposed of: it is not loaded again', async () => {
    const reward = publishedReward('clipscore');
    await reward.load();
    reward.dispose();
    await Promise.resolve();
    await expect(reward.features(Tensor.from(new Float32Array(12), [1, 3, 2, 2]))).rejects.toThrow(/dispose/);
  });
});

describe('image features of a published reward', () => {
  it('come beside the scores where asked for, and alone no more images at a time than the slice', async () => {
    const { tensors, prompts } = await goldensOf('pickscore');
    const images = tensors['wide.images']!;
    const reward = publishedReward('pickscore', undefined, { slice: 3 });
    const alone = await floats(await publishedReward('pickscore').features(images));
    const { values, features } = await reward.score(images, prompts, { features: true });
    expect(Array.from(values)).toEqual(Array.from((await reward.score(images, prompts)).values));
    for (const given of [features!, await reward.features(images)]) {
      for (const [index, value] of (await floats(given)).entries()) expect(value).toBeCloseTo(alone[index]!, 5);
    }
    expect('features' in (await reward.score(images, prompts))).toBe(false);
    // The setting gets there: what is no number of images is refused.
    await expect(publishedReward('pickscore', undefined, { slice: -3 }).features(images)).rejects.toThrow(
      /slice: expected 0 \(all\) or more, got -3/,
    );
  });

  it('are of unit length, and their mean cosine distance is that of all pairs', async () => {
    const { tensors } = await goldensOf('clipscore');
    const features = await publishedReward('clipscore').features(tensors['square.images']!);
    const [count, length] = features.shape as [number, number];
    const data = await floats(features);
    const rows = Array.from({ length: count }, (_, row) => data.slice(row * length, (row + 1) * length));
    const dot = (a: number[], b: number[]) => a.reduce((sum, value, index) => sum + value * b[index]!, 0);
    for (const row of rows) expect(dot(row, row)).toBeCloseTo(1, 5);
    const pairs = rows.flatMap((a, i) => rows.slice(i + 1).map((b) => 1 - dot(a, b)));
    const mean = pairs.reduce((sum, value) => sum + value, 0) / pairs.length;
    expect(await binding().meanPairwiseCosineDistance(features)).toBeCloseTo(mean, 6);
    expect(await binding().meanPairwiseCosineDistance(Tensor.from([3, 0, 0, 2, 0, 0], [3, 2]))).toBeCloseTo(1, 12);
    await expect(binding().meanPairwiseCosineDistance(Tensor.from([1, 2], [1, 2]))).rejects.toThrow(
      /at least two rows/,
    );
  });
});
