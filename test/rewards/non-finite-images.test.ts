// A model whose weights, or a part of them, are not finite draws nothing in silence.
import { existsSync, readdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';

import { describe, expect, it } from 'vitest';

import { disposeAll, loadTensors, saveTensors } from '../../lib/files/safetensors.js';
import { Tensor } from '../../lib/runtime/native/tensor.js';
import { eam } from '../helpers/command-line.js';
import { temporaryFolder, tinyModelDirectory } from '../helpers/tiny-run.js';

/** A model in whose embeddings of the digits these are NaN. */
async function damaged(...digits: number[]): Promise<string> {
  const directory = await tinyModelDirectory();
  const path = join(directory, 'model.safetensors');
  const tensors = await loadTensors(path);
  const { shape } = tensors['label_embed.weight']!;
  const values = (await tensors['label_embed.weight']!.data()) as Float32Array;
  const changed = values.map((value, index) => (digits.includes(Math.floor(index / shape[1]!)) ? NaN : value));
  await saveTensors(path, { ...tensors, 'label_embed.weight': Tensor.from(changed, shape) });
  disposeAll(tensors);
  return directory;
}

const draw = (model: string, out: string, ...args: string[]) =>
  eam(
    'sample',
    '--model',
    model,
    '--prompt',
    '0',
    '--prompt',
    '1',
    '--count',
    '4',
    '--batch',
    '2',
    '--steps',
    '2',
    '--out',
    out,
    ...args,
  );

describe('images that are not finite', () => {
  it('end a run with an error that names the likely causes, before the next batch is drawn', async () => {
    const model = await damaged(0, 1, 2);
    const out = join(temporaryFolder(), 'drawn');
    const { code, stderr } = await draw(model, `${out}.png`);
    expect([code, stderr]).toEqual([
      1,
      expect.stringMatching(/all 2 images drawn so far hold numbers that are not finite\. Likely causes:\n/),
    ]);
    expect(stderr).toContain(`weights in ${model} that are damaged`);
    expect(stderr).not.toContain('float16');
    expect(existsSync(`${out}.png`)).toBe(false);
    expect(await draw(model, out, '--dtype', 'float16', '--quiet')).toMatchObject({
      code: 1,
      stderr: expect.stringContaining("activations beyond float16's range: take dtype bfloat16 or float32") as string,
    });
    expect(readdirSync(out)).toEqual([]);

    const prompts = join(temporaryFolder(), 'prompts.txt');
    writeFileSync(prompts, '0\n');
    const scored = await eam(
      'evaluate',
      '--model',
      model,
      '--prompts',
      prompts,
      '--reward',
      'stroke-weight',
      '--samples',
      '1',
      '--steps',
      '1',
      '--quiet',
    );
    expect([scored.code, scored.stderr]).toEqual([
      1,
      expect.stringContaining('the image drawn so far holds numbers that are not finite'),
    ]);
  });

  it('are counted where others are finite', async () => {
    const { code, stderr } = await draw(await damaged(1), join(temporaryFolder(), 'drawn.png'));
    expect([code, stderr]).toEqual([
      0,
      expect.stringContaining('2 of the 4 images hold numbers that are not finite, and are black there'),
    ]);
  });
});
