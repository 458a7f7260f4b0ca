import { mkdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';

import { describe, expect, it } from 'vitest';

import { openWeights } from '../../lib/files/weights.js';
import { locateWeights } from '../../lib/models/component-weights.js';
import { readSd3Directory } from '../../lib/models/sd3/directory.js';
import type { NativeWeightFiles } from '../../lib/runtime/native/binding.js';
import { binding } from '../../lib/runtime/native/index.js';
import { disposeAll, readTensors, saveTensors } from '../../lib/files/safetensors.js';
import { Sd3Copy, tinySd3 } from '../helpers/sd3.js';
import { refusal } from '../helpers/refusal.js';

const openComponent = async (directory: string): Promise<NativeWeightFiles> =>
  openWeights((await locateWeights(directory)).map((path) => ({ path })));

describe('the weight files of a component', () => {
  const shardNames = ['model-00001-of-00002.safetensors', 'model-00002-of-00002.safetensors'];

  /** The third text encoder in two shards. */
  const sharded = async (overlap = false): Promise<Sd3Copy> => {
    const copy = new Sd3Copy();
    const tensors = await readTensors(copy.file('text_encoder_3/model.safetensors'));
    const names = Object.keys(tensors);
    const half = Math.floor(names.length / 2);
    const parts = [names.slice(0, half), names.slice(overlap ? half - 1 : half)];
    const weightMap: Record<string, string> = {};
    for (const [index, part] of parts.entries()) {
      await saveTensors(
        copy.file(`text_encoder_3/${shardNames[index]!}`),
        Object.fromEntries(part.map((name) => [name, tensors[name]!])),
      );
      for (const name of part) weightMap[name] = shardNames[index]!;
    }
    disposeAll(tensors);
    return copy
      .remove('text_encoder_3/model.safetensors')
      .write('text_encoder_3/model.safetensors.index.json', JSON.stringify({ metadata: {}, weight_map: weightMap }));
  };

  it('give the same weights as one file and as shards', async () => {
    const copy = await sharded();
    expect(await locateWeights(copy.file('text_encoder_3'))).toEqual(
      shardNames.map((name) => copy.file(`text_encoder_3/${name}`)),
    );
    const [one, parts] = [
      await openComponent(join(tinySd3, 'text_encoder_3')),
      await openComponent(copy.file('text_encoder_3')),
    ];
    const sorted = (weights: NativeWeightFiles) => weights.tensors().sort((a, b) => (a.name < b.name ? -1 : 1));
    expect(sorted(parts)).toEqual(sorted(one));
    // The same numbers under the same names: the networks give the same, to the bit.
    const { config } = (await readSd3Directory(tinySd3)).t5!;
    const ids = binding().Tensor.from(BigInt64Array.of(5n, 1n, 159n, 0n), [2, 2]);
    const [whole, joined] = await Promise.all(
      [one, parts].map(async (weights) => {
        const encoder = await binding().loadNetwork('t5-encoder', { config, weights, device: 'cpu' });
        weights.dispose();
        return (await encoder.encode(ids)).hidden.data();
      }),
    );
    expect(joined).toEqual(whole);
  });

  it('are refused with a shard missing, by its name', async () => {
    const copy = (await sharded()).remove(`text_encoder_3/${shardNames[1]!}`);
    expect(await refusal(openComponent(copy.file('text_encoder_3')))).toMatch(
      new RegExp(
        String.raw`text_encoder_3 lacks 1 of the 2 shards that model\.safetensors\.index\.json names: ` +
          String.raw`model-00002-of-00002\.safetensors; download it again`,
      ),
    );
  });

  it('are refused with a tensor in two shards, by its name', async () => {
    const copy = await sharded(true);
    expect(await refusal(openComponent(copy.file('text_encoder_3')))).toMatch(
      /^tensor ".*" is in both .*00001-of-00002\.safetensors and .*00002-of-00002/,
    );
  });

  it('are the plain ones among variants, else the only variant', async () => {
    const file = readFileSync(join(tinySd3, 'text_encoder_3/model.safetensors'));
    const copy = new Sd3Copy().write('text_encoder_3/model.fp16.safetensors', file);
    const folder = copy.file('text_encoder_3');
    expect(await locateWeights(folder)).toEqual([join(folder, 'model.safetensors')]);
    copy.remove('text_encoder_3/model.safetensors');
    expect(await locateWeights(folder)).toEqual([join(folder, 'model.fp16.safetensors')]);
    copy.write('text_encoder_3/model.bf16.safetensors', file);
    expect(await refusal(locateWeights(folder))).toMatch(
      /: expected one file of weights, got model\.bf16\.safetensors and model\.fp16\.safetensors; remove the other$/,
    );
  });

  it("are found as shards of a variant, as the published directories' T5 is", async () => {
    const copy = await sharded();
    const folder = copy.file('text_encoder_3');
    const shards = shardNames.map((name) => name.replace('model-', 'model.fp16-'));
    const map = JSON.parse(readFileSync(join(folder, 'model.safetensors.index.json'), 'utf8')) as {
      weight_map: Record<string, string>;
    };
    for (const [index, name] of shards.entries())
      copy.write(`text_encoder_3/${name}`, readFileSync(join(folder, shardNames[index]!)));
    const renamed = Object.fromEntries(
      Object.entries(map.weight_map).map(([name, shard]) => [name, shard.replace('model-', 'model.fp16-')]),
    );
    copy.write('text_encoder_3/model.safetensors.index.fp16.json', JSON.stringify({ weight_map: renamed }));
    expect(await locateWeights(folder)).toEqual(shardNames.map((name) => join(folder, name)));
    copy.remove('text_encoder_3/model.safetensors.index.json');
    expect(await locateWeights(folder)).toEqual(shards.map((name) => join(folder, name)));
  });

  it.each([
    {
      what: 'none',
      change: (copy: Sd3Copy) => copy.remove('vae/diffusion_pytorch_model.safetensors'),
      message: /vae: expected diffusion_pytorch_model\.safetensors or model\.safetensors, .*, got no weights/,
    },
    {
      what: 'only .bin',
      change: (copy: Sd3Copy) =>
        copy.remove('vae/diffusion_pytorch_model.safetensors').write('vae/diffusion_pytorch_model.bin', 'x'),
      message: /\.bin files are not read: convert them/,
    },
    {
      what: 'an index of nothing',
      change: (copy: Sd3Copy) =>
        copy
          .remove('vae/diffusion_pytorch_model.safetensors')
          .write('vae/diffusion_pytorch_model.safetensors.index.json', '{"weight_map": {}}'),
      message: /names no tensors/,
    },
    {
      what: 'an index that is none',
      change: (copy: Sd3Copy) =>
        copy
          .remove('vae/diffusion_pytorch_model.safetensors')
          .write('vae/diffusion_pytorch_model.safetensors.index.json', '{"weights": 1}'),
      message: /index\.json: weight_map: expected a record, but it is missing/,
    },
    {
      what: 'shards elsewhere',
      change: (copy: Sd3Copy) =>
        copy
          .remove('vae/diffusion_pytorch_model.safetensors')
          .write('vae/diffusion_pytorch_model.safetensors.index.json', '{"weight_map": {"a": "../x.safetensors"}}'),
      message: /names the shard "\.\.\/x\.safetensors", which is not in its own directory/,
    },
    {
      what: 'half a file',
      change: (copy: Sd3Copy) =>
        copy.write(
          'vae/diffusion_pytorch_model.safetensors',
          readFileSync(join(tinySd3, 'vae/diffusion_pytorch_model.safetensors')).subarray(0, 90_000),
        ),
      message: /diffusion_pytorch_model\.safetensors is not a valid safetensors file: .*cut short or damaged/,
    },
  ])('are refused where there is $what', async ({ change, message }) => {
    expect(await refusal(openComponent(change(new Sd3Copy()).file('vae')))).toMatch(message);
  });

  it('are refused where there is no directory', async () => {
    const copy = new Sd3Copy();
    mkdirSync(copy.file('empty'));
    expect(await refusal(openComponent(copy.file('empty')))).toMatch(/empty: expected .*, got no weights/);
    expect(await refusal(openComponent(copy.file('nowhere')))).toMatch(/cannot read .*nowhere: ENOENT/);
  });
});
