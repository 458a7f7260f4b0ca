// Several adapters at once, each with a weight: their updates are added.
import { mkdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';

import { decode } from 'fast-png';
import { beforeAll, describe, expect, it } from 'vitest';

import { CheckpointError } from '../../lib/errors.js';
import { openAdaptedModel } from '../../lib/jobs/adapted-model.js';
import { parseAdapter } from '../../lib/jobs/chosen-adapters.js';
import { mergeAdapter } from '../../lib/jobs/merge/merge.js';
import { loadModel } from '../../lib/models/registry.js';
import { adapterFile } from '../helpers/adapter-files.js';
import { eam } from '../helpers/command-line.js';
import { floats, labels, normal, randomise, relativeError } from '../helpers/tiny-model.js';
import { temporaryFolder, tinyModelDirectory } from '../helpers/tiny-run.js';

const recordOf = (png: string) => JSON.parse(decode(readFileSync(png)).text['eam-torch']!) as { adapter: unknown };

let model: string;
let first: string;
let second: string;
beforeAll(async () => {
  model = await tinyModelDirectory();
  first = await saved({ rank: 2, alpha: 4, targets: ['attn.qkv', 'mlp.fc2'] }, 0.3);
  second = await saved({ rank: 3, alpha: 2, targets: ['attn.qkv', 'mlp.fc1'] }, 0.5);
});

async function saved(adapter: { rank: number; alpha: number; targets: string[] }, scale: number): Promise<string> {
  using adapted = await loadModel(model, { adapter });
  await randomise(adapted.native, 'trainable', scale);
  const directory = join(temporaryFolder(), 'adapter');
  await adapted.saveAdapter(directory);
  return directory;
}

async function velocity(source: string, ...adapter: string[]): Promise<number[]> {
  const opened = await openAdaptedModel({ model: source, adapter, device: 'cpu' }, () => {});
  using drawing = opened.model;
  const x = await normal([2, ...drawing.latentShape], 8n);
  return floats(await drawing.native.velocity(x, Float32Array.of(0.3, 0.7), labels(1, 2), false));
}

/** The model with an adapter folded in. */
async function merged(source: string, adapter: string): Promise<string> {
  const out = join(temporaryFolder(), 'merged');
  await mergeAdapter({ model: source, adapter, out });
  return out;
}

describe('openAdaptedModel', () => {
  it('adds the updates of several adapters, of other ranks, scales and layers', async () => {
    const both = await merged(await merged(model, first), second);
    expect(relativeError(await velocity(model, first, second), await velocity(both))).toBeLessThan(1e-5);
    expect(relativeError(await velocity(model, first), await velocity(both))).toBeGreaterThan(0.01);
  });

  it('multiplies each by its weight: one that is added and taken away is none', async () => {
    const half = await velocity(model, `${first}:0.5`);
    const own = await velocity(model, first);
    expect(relativeError(await velocity(model, `${first}:0.25`, `${first}:.25`), half)).toBeLessThan(1e-5);
    expect(relativeError(half, own)).toBeGreaterThan(0.01);
    const without = await velocity(model);
    expect(relativeError(await velocity(model, `${first}:1`, second, `${second}:-1`), own)).toBeLessThan(1e-5);
    expect(relativeError(await velocity(model, `${first}:0`), without)).toBeLessThan(1e-6);
    expect(relativeError(await velocity(model, `${first}:1e0`), own)).toBeLessThan(1e-6);
  });

  it('leaves one alone to the bit', async () => {
    using adapted = await loadModel(model, { adapter: { rank: 2, alpha: 4, targets: ['attn.qkv', 'mlp.fc2'] } });
    await adapted.loadAdapter(first);
    const x = await normal([2, ...adapted.latentShape], 8n);
    const own = await adapted.native.velocity(x, Float32Array.of(0.3, 0.7), labels(1, 2), false);
    expect(await velocity(model, first)).toEqual(await floats(own));
  });

  it('refuses adapters of other models, and of layers of other sizes', async () => {
    const other = await tinyModelDirectory({ width: 32 });
    using adapted = await loadModel(other, { adapter: { rank: 2, alpha: 4, targets: ['attn.qkv'] } });
    const wide = join(temporaryFolder(), 'wide');
    await adapted.saveAdapter(wide);
    const open = (choice: object) => openAdaptedModel({ device: 'cpu', ...choice }, () => {});
    await expect(open({ adapter: [first, wide] })).rejects.toThrow(
      `${first} was trained on ${model}, and ${wide} on ${other}: name the model to draw with (--model)`,
    );
    const sizes = await open({ model, adapter: [first, wide] }).catch((error: unknown) => error);
    expect(sizes).toBeInstanceOf(CheckpointError);
    expect((sizes as Error).message).toMatch(
      /wide: blocks\.0\.attn\.qkv: expected from 16 to 48 numbers, as in .*adapter, got from 32 to 96 numbers/,
    );
    const missing = await adapterFile({
      'transformer.to_q.lora_A.weight': [2, 4],
      'transformer.to_q.lora_B.weight': [4, 2],
    });
    await expect(open({ model, adapter: [first, missing] })).rejects.toThrow(/to_q/);
  });
});

describe('eam sample', () => {
  it('takes --adapter several times, and records the weights in the picture', async () => {
    const [a, b] = [join(temporaryFolder(), 'a.png'), join(temporaryFolder(), 'b.png')];
    const draw = ['sample', '--model', model, '--prompt', '1', '--count', '2', '--steps', '2', '--quiet'];
    expect(await eam(...draw, '--adapter', first, '--adapter', `${second}:0.5`, '--out', a)).toMatchObject({ code: 0 });
    expect(await eam(...draw, '--adapter', `${second}:0.5`, '--adapter', first, '--out', b)).toMatchObject({ code: 0 });
    expect(recordOf(a).adapter).toEqual([first, `${second}:0.5`]);
    const one = join(temporaryFolder(), 'one.png');
    expect(await eam(...draw, '--adapter', first, '--out', one)).toMatchObject({ code: 0 });
    expect(recordOf(one).adapter).toBe(first);
  });
});

describe('parseAdapter', () => {
  it.each([
    { text: 'runs/a', path: 'runs/a', weight: 1 },
    { text: 'runs/a:0.5', path: 'runs/a', weight: 0.5 },
    { text: 'runs/a:-.5', path: 'runs/a', weight: -0.5 },
    { text: 'C:lora:2e-1', path: 'C:lora', weight: 0.2 },
    { text: 'runs/a:', path: 'runs/a:', weight: 1 },
    { text: 'runs/a:strong', path: 'runs/a:strong', weight: 1 },
    { text: 'runs/a:1e999', path: 'runs/a:1e999', weight: 1 },
    { text: ':2', path: ':2', weight: 1 },
  ])('reads $text', ({ text, path, weight }) => expect(parseAdapter(text)).toEqual({ path, weight }));

  it('takes a folder that ends like a weight for the folder', () => {
    const folder = join(temporaryFolder(), 'step:10');
    mkdirSync(folder);
    expect(parseAdapter(folder)).toEqual({ path: folder, weight: 1 });
    expect(parseAdapter(`${folder}:2`)).toEqual({ path: folder, weight: 2 });
  });
});
