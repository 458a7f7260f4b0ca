// A folder of images and its labels are held against each other, and against the model, before anything starts.
import { mkdirSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';

import { encode } from 'fast-png';
import { describe, expect, it } from 'vitest';

import { readImageFolder } from '../../lib/models/image-folder.js';
import { refusal } from '../helpers/refusal.js';
import { numbersOf } from '../helpers/torchscript-model.js';
import { temporaryFolder } from '../helpers/tiny-run.js';

const gray = { channels: 1, height: 2, width: 3 };
const colour = { ...gray, channels: 3 };

function png(channels: 1 | 3, data: readonly number[], width = 3, height = 2): Uint8Array {
  return encode({ width, height, channels, depth: 8, data: Uint8Array.from(data) });
}

/** A folder with these files; of labels.jsonl the lines. */
function folderOf(files: Record<string, Uint8Array>, lines: readonly unknown[]): string {
  const folder = temporaryFolder();
  for (const [name, data] of Object.entries(files)) {
    mkdirSync(join(folder, name, '..'), { recursive: true });
    writeFileSync(join(folder, name), data);
  }
  const text = lines.map((line) => (typeof line === 'string' ? line : JSON.stringify(line)));
  writeFileSync(join(folder, 'labels.jsonl'), text.join('\n'));
  return folder;
}

const shades = png(1, [0, 51, 102, 153, 204, 255]);
const colours = png(
  3,
  Array.from({ length: 18 }, (_, at) => at * 15),
);
const one = [{ file: 'a.png', label: 0 }];

describe('readImageFolder', () => {
  it('reads images in the order of their labels, and tells them from others', async () => {
    const files = { 'a.png': shades, 'more/b.png': png(1, [255, 255, 255, 0, 0, 0]), '._a.png': new Uint8Array(3) };
    const lines = [{ file: 'more/b.png', label: 3 }, '', { file: './a.png', label: 0 }];
    const found = await readImageFolder(folderOf(files, lines), gray, 'cpu');
    expect(found.images.shape).toEqual([2, 1, 2, 3]);
    const numbers = [1, 1, 1, 0, 0, 0, 0, 0.2, 0.4, 0.6, 0.8, 1];
    expect(await numbersOf(found.images)).toEqual(numbers.map((number) => expect.closeTo(number, 6)));
    expect(found).toMatchObject({ labels: ['3', '0'], hasCaptions: false });
    // Of 2 x − 1, about its mean.
    const mean = numbers.reduce((sum, number) => sum + number, 0) / 12;
    const variance = numbers.reduce((sum, number) => sum + 4 * (number - mean) ** 2, 0) / 12;
    expect(found.variance).toBeCloseTo(variance, 6);
    const again = await readImageFolder(folderOf(files, lines), gray, 'cpu');
    expect(again.fingerprint).toBe(found.fingerprint);
    const relabelled = folderOf(files, [
      { file: 'more/b.png', label: 3 },
      { file: 'a.png', label: 1 },
    ]);
    expect((await readImageFolder(relabelled, gray, 'cpu')).fingerprint).not.toBe(found.fingerprint);
  });

  it('takes captions, and three equal channels of a gray image where the model has three', async () => {
    const folder = folderOf({ 'a.png': shades }, [{ file: 'a.png', caption: ' a ramp ' }]);
    const found = await readImageFolder(folder, colour, 'cpu');
    expect(found).toMatchObject({ labels: ['a ramp'], hasCaptions: true });
    const numbers = await numbersOf(found.images);
    expect(numbers.slice(6, 12)).toEqual(numbers.slice(0, 6));
  });

  it('takes shades of gray that are stored as colours where the model has one channel', async () => {
    const stored = png(
      3,
      [0, 51, 102, 153, 204, 255].flatMap((shade) => [shade, shade, shade]),
    );
    const found = await readImageFolder(folderOf({ 'a.png': stored }, one), gray, 'cpu');
    expect((await numbersOf(found.images)).at(-1)).toBe(1);
  });

  it.each<{
    that: string;
    files?: Record<string, Uint8Array>;
    lines?: unknown[];
    shape?: typeof gray;
    message: string;
  }>([
    { that: 'has no line', lines: [], message: 'labels.jsonl: expected a line for each image, got none' },
    {
      that: 'has a line that is no JSON',
      lines: ['{'],
      message: 'labels.jsonl, line 1: expected a JSON object, got no JSON',
    },
    {
      that: 'misspells a member',
      lines: [{ file: 'a.png', lable: 0 }],
      message: 'lable: unknown key; did you mean "label"?',
    },
    {
      that: 'has neither a label nor a caption',
      lines: [{ file: 'a.png' }],
      message: 'labels.jsonl, line 1: the configuration: expected a label or a caption, got {"file":"a.png"}',
    },
    {
      that: 'has both',
      lines: [{ file: 'a.png', label: 0, caption: 'a' }],
      message: 'expected a label or a caption',
    },
    {
      that: 'has a negative label',
      lines: [{ file: 'a.png', label: -1 }],
      message: 'label: expected a number of at least 0',
    },
    {
      that: 'has an empty caption',
      lines: [{ file: 'a.png', caption: ' ' }],
      message: 'caption: expected a string of at',
    },
    {
      that: 'has labels and captions',
      files: { 'a.png': shades, 'b.png': shades },
      lines: [...one, { file: 'b.png', caption: 'b' }],
      message: 'labels.jsonl: expected labels in all of its 2 lines, or captions in all, got 1',
    },
    {
      that: 'names a file twice',
      lines: [...one, ...one],
      message: 'images and labels do not fit:\n  a.png has two lines in labels.jsonl',
    },
    {
      that: 'names a file that is not there, and leaves out another',
      files: { 'b.png': shades },
      message: '\n  a.png of labels.jsonl is no .png file there\n  b.png has no line in labels.jsonl',
    },
    {
      that: 'names a file outside',
      lines: [{ file: '../a.png', label: 0 }],
      message: '../a.png of labels.jsonl is no .png file there',
    },
    {
      that: 'has an image of another size',
      files: { 'a.png': png(1, [1, 2, 3, 4], 2, 2) },
      message: 'a.png: expected 3 × 2 pixels, as the model takes, got 2 × 2',
    },
    {
      that: 'has colours where the model has none',
      files: { 'a.png': colours },
      message: 'a.png: expected shades of gray, as the model has one channel, got colours',
    },
    { that: 'has a damaged image', files: { 'a.png': shades.subarray(0, 40) }, message: 'a.png:' },
  ])('refuses a folder that $that', async ({ files = { 'a.png': shades }, lines = one, shape = gray, message }) => {
    expect(await refusal(readImageFolder(folderOf(files, lines), shape, 'cpu'))).toContain(message);
  });

  it('lists eight of many problems, and how many more there are', async () => {
    const files = Object.fromEntries(Array.from({ length: 12 }, (_, number) => [`${number}.png`, shades]));
    const text = await refusal(readImageFolder(folderOf(files, [{ file: '0.png', label: 0 }]), gray, 'cpu'));
    expect(text.split('\n')).toHaveLength(10);
    expect(text).toMatch(/\n {2}and 3 more$/);
  });

  it('refuses a folder without labels, and one that is not there', async () => {
    const folder = folderOf({ 'a.png': shades }, one);
    rmSync(join(folder, 'labels.jsonl'));
    expect(await refusal(readImageFolder(folder, gray, 'cpu'))).toContain('labels.jsonl: ENOENT');
    expect(await refusal(readImageFolder(join(folder, 'gone'), gray, 'cpu'))).toContain('ENOENT');
  });

  it('stops where it is told to', async () => {
    const signal = AbortSignal.abort(new Error('enough'));
    await expect(readImageFolder(folderOf({ 'a.png': shades }, one), gray, 'cpu', signal)).rejects.toThrow('enough');
  });
});
