// CLIP rewards as transformers 5 saves them, in shards, as a variant alone, and as they cannot be read.

import { readFileSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';

import { beforeEach, describe, expect, it } from 'vitest';

import { ConfigError } from '../../lib/errors.js';
import { loadTensors, saveTensors } from '../../lib/files/safetensors.js';
import { locateReward } from '../../lib/rewards/registry.js';
import { Tensor } from '../../lib/runtime/native/tensor.js';
import { copyOf, editJson, publishedReward } from '../helpers/reward-directories.js';

let directory: string;
const at = (name: string) => join(directory, name);
const read = (name: string) => JSON.parse(readFileSync(at(name), 'utf8')) as Record<string, unknown>;
const write = (name: string, json: object) => writeFileSync(at(name), JSON.stringify(json));
beforeEach(() => {
  directory = copyOf('pickscore');
});

async function scores(folder: string): Promise<number[]> {
  const reward = publishedReward('pickscore', folder);
  using images = Tensor.from(
    Float32Array.from({ length: 3 * 64 }, (_, i) => (i % 17) / 17),
    [1, 3, 8, 8],
  );
  const { values } = await reward.score(images, ['a fox']);
  reward.dispose();
  return values instanceof Tensor ? Array.from((await values.data()) as Float32Array) : Array.from(values);
}

describe('a CLIP reward', () => {
  it.each([
    {
      what: 'with the image processor in processor_config.json alone',
      change: () => {
        write('processor_config.json', { image_processor: read('preprocessor_config.json'), processor_class: 'CLIP' });
        rmSync(at('preprocessor_config.json'));
      },
    },
    {
      what: 'with an older file beside it',
      change: () => {
        write('processor_config.json', { image_processor: read('preprocessor_config.json') });
        write('preprocessor_config.json', { image_mean: [0, 0, 0], image_std: [1, 1, 1], size: 8, crop_size: 8 });
      },
    },
    {
      what: 'with a processor_config.json of version 4',
      change: () => write('processor_config.json', { processor_class: 'CLIPProcessor' }),
    },
    { what: 'of a variant alone', change: () => renameSync(at('model.safetensors'), at('model.fp16.safetensors')) },
    {
      what: 'in shards',
      change: async () => {
        const tensors = Object.entries(await loadTensors(at('model.safetensors')));
        const weight_map: Record<string, string> = {};
        for (const [index, part] of [tensors.slice(0, 9), tensors.slice(9)].entries()) {
          const name = `model-0000${index + 1}-of-00002.safetensors`;
          await saveTensors(at(name), Object.fromEntries(part), { format: 'pt' });
          for (const [key] of part) weight_map[key] = name;
        }
        rmSync(at('model.safetensors'));
        write('model.safetensors.index.json', { metadata: {}, weight_map });
      },
    },
    {
      what: 'with byte order marks',
      change: () => {
        for (const name of ['config.json', 'preprocessor_config.json', 'vocab.json'])
          writeFileSync(at(name), `\ufeff${readFileSync(at(name), 'utf8')}`);
      },
    },
    {
      what: 'that says how it rescales',
      change: () =>
        editJson(at('preprocessor_config.json'), (json) =>
          Object.assign(json, { do_rescale: true, rescale_factor: 0.00392156862745098 }),
        ),
    },
  ])('scores the same $what', async ({ change }) => {
    const expected = await scores(directory);
    await change();
    const found = await scores(directory);
    expect(found).toHaveLength(1);
    // Weights that lie otherwise in memory are added in another order.
    expect(found[0]).toBeCloseTo(expected[0]!, 5);
    const files = await locateReward({ name: 'pickscore', directory, weight: 1 } as never);
    expect(files!.every(({ path }) => path.endsWith('.safetensors'))).toBe(true);
  });

  it.each([
    {
      what: 'no image processor',
      change: () => rmSync(at('preprocessor_config.json')),
      message: /there is no preprocessor_config\.json, nor a processor_config\.json with an image_processor/,
    },
    {
      what: 'images that are not rescaled',
      change: () => editJson(at('preprocessor_config.json'), (json) => Object.assign(json, { do_rescale: false })),
      message: /preprocessor_config\.json: do_rescale: expected true, got false/,
    },
    {
      what: 'the same in processor_config.json',
      change: () =>
        write('processor_config.json', { image_processor: { ...read('preprocessor_config.json'), do_rescale: false } }),
      message: /processor_config\.json, image_processor: do_rescale: expected true, got false/,
    },
    {
      what: 'images that are rescaled otherwise',
      change: () =>
        editJson(at('preprocessor_config.json'), (json) => Object.assign(json, { rescale_factor: 1 / 127.5 })),
      message: /rescale_factor: expected 1\/255, got 0\.0078/,
    },
    {
      what: 'several variants',
      change: () => {
        writeFileSync(at('model.bf16.safetensors'), '');
        renameSync(at('model.safetensors'), at('model.fp16.safetensors'));
      },
      message:
        /: expected one file of weights, got model\.\w+\.safetensors and model\.\w+\.safetensors; remove the other/,
    },
    {
      what: 'quantized weights',
      change: () =>
        editJson(at('config.json'), (json) =>
          Object.assign(json, { quantization_config: { quant_method: 'bitsandbytes', load_in_4bit: true } }),
        ),
      message: /config\.json: quantization_config: its weights are quantized \(bitsandbytes, 4 bits\)/,
    },
  ])('is refused with $what', async ({ change, message }) => {
    await change();
    const error = await publishedReward('pickscore', directory)
      .load()
      .catch((caught: unknown) => caught);
    expect((error as Error).message).toMatch(message);
    if (/do_rescale|quantized/.test((error as Error).message)) expect(error).toBeInstanceOf(ConfigError);
  });
});
