import {
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  truncateSync,
  utimesSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

import { beforeEach, describe, expect, it, vi } from 'vitest';

import { readSd3Directory } from '../../lib/models/sd3/directory.js';
import { EmbeddingCache } from '../../lib/models/pipeline/embedding-cache.js';
import { embeddingFacts, sd3Embeddings, TextEncoders } from '../../lib/models/sd3/text.js';
import { binding } from '../../lib/runtime/native/index.js';
import { disposeAll, readHeader, readTensors } from '../../lib/files/safetensors.js';
import type { Tensor } from '../../lib/runtime/native/tensor.js';
import { compiled, runNode, startTogether } from '../helpers/child.js';
import { Sd3Copy, tinySd3 } from '../helpers/sd3.js';

const goldens = await readTensors(join(tinySd3, 'goldens.safetensors'));
const { metadata } = await readHeader(join(tinySd3, 'goldens.safetensors'));
const prompts = JSON.parse(metadata['prompts']!) as string[];
const textLength = Number(metadata['t5_max_length']);
const options = { dtype: 'float32', device: 'cpu', textLength } as const;
const directory = await readSd3Directory(tinySd3);
const { readers } = await embeddingFacts(directory, options);

let cache: string;
beforeEach(() => {
  vi.restoreAllMocks();
  cache = join(mkdtempSync(join(tmpdir(), 'eam-embeddings-')), 'cache');
});
const files = () =>
  readdirSync(cache)
    .sort()
    .map((name) => join(cache, name));

/** Counts how often the encoders are loaded and freed. */
function watchEncoders() {
  const loaded = vi.spyOn(TextEncoders, 'load');
  const freed = vi.spyOn(TextEncoders.prototype, 'dispose');
  return { counts: () => [loaded.mock.calls.length, freed.mock.calls.length] };
}

describe('embeddings of prompts', () => {
  it("equal diffusers': CLIP's states side by side, then T5's, and the features", async () => {
    const [states, pooled] = (await sd3Embeddings(directory, options, cache).rows(prompts)) as [Tensor, Tensor];
    for (const [computed, name] of [
      [states, 'prompt_embeds'],
      [pooled, 'pooled_prompt_embeds'],
    ] as const) {
      expect(computed.shape).toEqual(goldens[name]!.shape);
      const { largest, scale } = await binding().largestDifference(computed, goldens[name]!);
      expect(largest / scale).toBeLessThan(1e-5);
    }
  });

  it('are computed once, kept on disk, and their encoders freed', async () => {
    const { counts } = watchEncoders();
    const first = sd3Embeddings(directory, options, cache);
    await first.prepare([...prompts, ...prompts]);
    expect(counts()).toEqual([1, 1]);
    expect(files()).toHaveLength(prompts.length);
    const computed = await first.rows(prompts);
    const again = await sd3Embeddings(directory, options, cache).rows([...prompts].reverse());
    expect(counts()).toEqual([1, 1]);
    const length = computed[0]!.dataSync().length / prompts.length;
    expect(again[0]!.dataSync().slice(0, length)).toEqual(computed[0]!.dataSync().slice(-length));
    disposeAll([...computed, ...again]);
  });

  it.each([
    { what: 'cut short', damage: (path: string) => truncateSync(path, 1000) },
    { what: 'empty', damage: (path: string) => writeFileSync(path, '') },
    {
      what: 'changed in a byte',
      damage: (path: string) => {
        const bytes = readFileSync(path);
        bytes[bytes.length - 5]! ^= 1;
        writeFileSync(path, bytes);
      },
    },
    {
      what: 'of another prompt',
      damage: (path: string) =>
        writeFileSync(
          path,
          readFileSync(path).toString('latin1').replace('"prompt":"a photo', '"prompt":"a phone'),
          'latin1',
        ),
    },
  ])('are computed again where a file is $what', async ({ damage }) => {
    const one = [prompts[0]!];
    const [states] = await sd3Embeddings(directory, options, cache).rows(one);
    damage(files()[0]!);
    const { counts } = watchEncoders();
    const [repaired] = await sd3Embeddings(directory, options, cache).rows(one);
    expect(repaired!.dataSync()).toEqual(states!.dataSync());
    expect(counts()).toEqual([1, 1]);
    // The file is whole again.
    await sd3Embeddings(directory, options, cache).rows(one);
    expect(counts()).toEqual([1, 1]);
  });

  it('are kept apart by encoder, length and dtype', async () => {
    const one = [prompts[0]!];
    await sd3Embeddings(directory, options, cache).prepare(one);
    await sd3Embeddings(directory, { ...options, textLength: 32 }, cache).prepare(one);
    await sd3Embeddings(directory, { ...options, dtype: 'bfloat16' }, cache).prepare(one);
    const copy = new Sd3Copy();
    copy.write('text_encoder/model.safetensors', readFileSync(join(tinySd3, 'text_encoder/model.safetensors')));
    await sd3Embeddings(await readSd3Directory(copy.path), options, cache).prepare(one);
    expect(files()).toHaveLength(4);
  });

  it('are written by two processes that share the folder, and fail in neither', async () => {
    const script = `
      const { EmbeddingCache } = await import(${compiled('models/pipeline/embedding-cache.js')});
      const facts = { shapes: { states: [4, 8], pooled: [16] }, readers: ${JSON.stringify(readers)} };
      const cache = new EmbeddingCache(${JSON.stringify(cache)}, 'identity', 'float32', facts);
      const embedding = {
        tensors: { states: new Float32Array(32), pooled: new Float32Array(16) },
        truncated: { clip: false, t5: false },
      };
      ${startTogether(2)}
      let failures = 0;
      for (let prompt = 0; prompt < 60; ++prompt) await cache.write(String(prompt), embedding).catch(() => ++failures);
      console.log(failures);
    `;
    const ended = await Promise.all([runNode(script), runNode(script)]);
    expect(ended.map(({ code, stdout, stderr }) => [code, stdout, stderr])).toEqual([
      [0, '0\n', ''],
      [0, '0\n', ''],
    ]);
    expect(files()).toHaveLength(60);
    expect(files().every((path) => path.endsWith('.safetensors'))).toBe(true);
  });

  it('reach the disk past what a killed process left there, which is removed when it is old', async () => {
    const embeddings = new EmbeddingCache(cache, 'identity', 'float32', {
      shapes: { states: [1, 1], pooled: [1] },
      readers,
    });
    mkdirSync(cache);
    const [old, young] = ['a.safetensors.tmp-1-0', 'b.safetensors.tmp-1-1'].map((name) => join(cache, name)) as [
      string,
      string,
    ];
    for (const path of [old, young]) writeFileSync(path, 'half');
    utimesSync(old, new Date(), new Date(Date.now() - 2 * 3_600_000));
    await embeddings.write('a fox', {
      tensors: { states: Float32Array.of(1), pooled: Float32Array.of(2) },
      truncated: { clip: true, t5: false },
    });
    expect([existsSync(old), existsSync(young), files().length]).toEqual([false, true, 2]);
    expect(await embeddings.read('a fox')).toMatchObject({
      tensors: { states: Float32Array.of(1) },
      truncated: { clip: true, t5: false },
    });
  });

  it('are written again when one could not be', async () => {
    writeFileSync(cache, 'a file where the folder should be');
    const notes: string[] = [];
    const embeddings = sd3Embeddings(directory, options, cache);
    await embeddings.prepare([prompts[0]!], { onNote: (line) => notes.push(line) });
    rmSync(cache);
    await embeddings.prepare([prompts[1]!], { onNote: (line) => notes.push(line) });
    expect(files()).toHaveLength(1);
    expect(notes.filter((line) => line.startsWith('text embeddings stay in memory: '))).toHaveLength(1);
  });

  it('are kept apart by the content of weights and vocabularies', async () => {
    const time = new Date(1_700_000_000_000);
    /** The identity with a byte changed and nothing that a listing shows; without a place no byte. */
    const identity = async (name: string, place?: (bytes: Buffer) => number) => {
      const copy = new Sd3Copy();
      const bytes = readFileSync(join(tinySd3, name));
      if (place) bytes[place(bytes)]! ^= 1;
      copy.write(name, bytes);
      utimesSync(copy.file(name), time, time);
      return (await embeddingFacts(await readSd3Directory(copy.path), options)).identity();
    };
    const weights = 'text_encoder_2/model.safetensors';
    const original = await identity(weights);
    expect(await identity(weights)).toBe(original);
    const { entries, dataStart } = await readHeader(join(tinySd3, weights));
    const found = new Set([original]);
    for (const { begin, end } of entries)
      found.add(await identity(weights, () => dataStart + Math.floor((begin + end) / 2)));
    expect(found.size).toBe(entries.length + 1);
    for (const name of ['tokenizer_3/tokenizer.json', 'tokenizer/merges.txt']) {
      expect(await identity(name, (bytes) => bytes.lastIndexOf('e'))).not.toBe(await identity(name));
    }
  });

  it("have the first CLIP tokenizer's length in both encoders, as diffusers has", async () => {
    const length = 60;
    const golden = goldens['prompt_embeds']!.dataSync() as Float32Array;
    const width = goldens['prompt_embeds']!.shape[2]!;
    const rowsOf = async (name: string, one: readonly string[]) => {
      const copy = new Sd3Copy().set(`${name}/tokenizer_config.json`, { model_max_length: length });
      const [states] = await sd3Embeddings(await readSd3Directory(copy.path), options, cache).rows(one);
      return { shape: states!.shape, data: states!.dataSync() as Float32Array };
    };
    const second = await rowsOf('tokenizer_2', prompts);
    expect(second.shape).toEqual(goldens['prompt_embeds']!.shape);
    expect(Math.max(...second.data.map((value, index) => Math.abs(value - golden[index]!)))).toBeLessThan(1e-4);
    const first = await rowsOf('tokenizer', [prompts[0]!]);
    expect(first.shape).toEqual([1, length + textLength, width]);
    // CLIP looks back only: what follows the first rows does not change them.
    expect(
      Math.max(...first.data.subarray(0, length * width).map((value, index) => Math.abs(value - golden[index]!))),
    ).toBeLessThan(1e-4);
    const t5 = golden.subarray(77 * width, (77 + textLength) * width);
    expect(
      Math.max(...first.data.subarray(length * width).map((value, index) => Math.abs(value - t5[index]!))),
    ).toBeLessThan(1e-4);
  });

  it.each([
    {
      why: 'cannot be written',
      place: () => {
        writeFileSync(cache, 'a file where the folder should be');
        return cache;
      },
    },
    { why: 'have no place', place: () => undefined },
  ])('stay in memory where they $why, and one note says so', async ({ place }) => {
    const notes: string[] = [];
    const embeddings = sd3Embeddings(directory, options, place());
    const { counts } = watchEncoders();
    await embeddings.prepare(prompts, { onNote: (line) => notes.push(line) });
    expect(notes.filter((line) => line.startsWith('text embeddings stay in memory: '))).toHaveLength(1);
    await embeddings.rows(prompts);
    expect(counts()).toEqual([1, 1]);
  });

  it('tell how many prompts were cut, also of those that were known', async () => {
    const told = async () => {
      const notes: string[] = [];
      await sd3Embeddings(directory, { ...options, textLength: 12 }, cache).prepare(prompts, {
        onNote: (line) => notes.push(line),
      });
      return notes.filter((line) => line.includes('longer'));
    };
    const expected = [
      '1 of 4 prompts is longer than the 77 tokens that CLIP reads: it does not read what comes after them',
      '3 of 4 prompts are longer than the 12 tokens that T5 reads: it does not read what comes after them',
    ];
    expect(await told()).toEqual(expected);
    expect(await told()).toEqual(expected);
  });

  it('tell that the negative prompt was cut', async () => {
    const notes: string[] = [];
    const settings = { negativePrompt: 'word '.repeat(90), onNote: (line: string) => void notes.push(line) };
    await sd3Embeddings(directory, options, cache).prepare(['a fox'], settings);
    expect(notes.filter((line) => line.includes('longer'))).toEqual([
      'the negative prompt is longer than the 77 tokens that CLIP reads: it does not read what comes after them',
      `the negative prompt is longer than the ${textLength} tokens that T5 reads: it does not read what ` +
        'comes after them',
    ]);
  });

  it('are refused without a tokenizer before an encoder is read', async () => {
    const read = vi.spyOn(binding(), 'loadNetwork');
    const without = async (name: string) =>
      sd3Embeddings(await readSd3Directory(new Sd3Copy().remove(name).path), options, cache).prepare(prompts);
    await expect(without('tokenizer_2')).rejects.toMatchObject({
      code: 'ERR_EAM_CHECKPOINT',
      message: expect.stringMatching(/tokenizer_2 cannot be read/) as string,
    });
    await expect(without('tokenizer_3/tokenizer.json')).rejects.toThrow(
      /tokenizer_3: expected tokenizer\.json, got no tokenizer/,
    );
    expect(read).not.toHaveBeenCalled();
  });

  it("have zeros in T5's place without T5, as diffusers has", async () => {
    const copy = new Sd3Copy()
      .set('model_index.json', { text_encoder_3: [null, null], tokenizer_3: [null, null] })
      .remove('text_encoder_3')
      .remove('tokenizer_3');
    const [states] = await sd3Embeddings(await readSd3Directory(copy.path), options, cache).rows([prompts[0]!]);
    expect(states!.shape).toEqual([1, 77 + textLength, 32]);
    const [own, golden] = [states!.dataSync() as Float32Array, goldens['prompt_embeds']!.dataSync() as Float32Array];
    expect(own.slice(77 * 32).every((value) => value === 0)).toBe(true);
    expect(own.slice(0, 32).every((value, index) => Math.abs(value - golden[index]!) < 1e-4)).toBe(true);
  });

  it('stop when asked to', async () => {
    const reason = new Error('enough');
    await expect(
      sd3Embeddings(directory, options, cache).prepare(prompts, { signal: AbortSignal.abort(reason) }),
    ).rejects.toBe(reason);
    expect(existsSync(cache)).toBe(false);
  });

  it('are refused by the name of a misshapen key', async () => {
    const copy = new Sd3Copy().set('text_encoder_3/config.json', { d_ff: 56 });
    const refused = sd3Embeddings(await readSd3Directory(copy.path), options, cache).prepare(prompts);
    await expect(refused).rejects.toMatchObject({
      code: 'ERR_EAM_CHECKPOINT',
      message: expect.stringMatching(/text_encoder_3: [\s\S]*DenseReluDense\.wi_0\.weight/) as string,
    });
  });
});
