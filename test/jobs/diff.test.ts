// Pictures are compared: the measures are checked against plain sums, and the page of a run is read.
import { existsSync, readFileSync, rmSync } from 'node:fs';
import { join } from 'node:path';

import { describe, expect, it } from 'vitest';

import { heatMap, imageChange, scaleOf } from '../../lib/jobs/diff/change.js';
import { diff } from '../../lib/jobs/diff/diff.js';
import type { Diff } from '../../lib/jobs/diff/result.js';
import { sheetOf } from '../../lib/jobs/diff/sheet.js';
import { finetune } from '../../lib/jobs/finetune/finetune.js';
import { readPng } from '../../lib/files/png/read.js';
import { eam } from '../helpers/command-line.js';
import { temporaryFolder, tinyModelDirectory } from '../helpers/tiny-run.js';

const gray = (...data: number[]) => ({ width: data.length, height: 1, channels: 1, data: Uint8Array.from(data) });
const color = (...data: number[]) => ({ width: data.length / 3, height: 1, channels: 3, data: Uint8Array.from(data) });

describe('imageChange', () => {
  it('is the root mean square, the mean luminance and the share of pixels that changed', () => {
    expect(imageChange(gray(0, 255, 100, 100), gray(255, 0, 100, 151))).toEqual({
      change: expect.closeTo(Math.sqrt((1 + 1 + 0 + 0.04) / 4), 12) as number,
      luminance: expect.closeTo(0.05, 12) as number,
      changed: 0.75,
    });
  });

  it('sees a change of colour that leaves the luminance alone', () => {
    // 0.2126 · 168 ≈ 0.7152 · 50: as bright, and another colour.
    const { change, luminance } = imageChange(color(168, 0, 0), color(0, 50, 0));
    expect(Math.abs(luminance)).toBeLessThan(0.001);
    expect(change).toBeCloseTo(Math.sqrt((168 ** 2 + 50 ** 2) / 3) / 255, 12);
  });
});

describe('scaleOf', () => {
  it('leaves one pixel in a hundred above, of all pairs together, and is never nothing', () => {
    const before = gray(...Array<number>(100).fill(0));
    const after = gray(...Array.from({ length: 100 }, (_, at) => at));
    expect(scaleOf([{ before, after }], 'luminance')).toBeCloseTo(98 / 255, 12);
    expect(scaleOf([{ before: after, after: before }], 'color')).toBeCloseTo(98 / 255, 12);
    expect(scaleOf([{ before, after: before }], 'luminance')).toBeCloseTo(1 / 255, 12);
  });
});

describe('heatMap', () => {
  it('is black where nothing changed, and has full colours of its own from the scale on, up and down', () => {
    const map = heatMap(gray(100, 100, 100, 200), gray(100, 151, 202, 149), 'luminance', 0.2);
    expect(Array.from(map.data)).toEqual([0, 0, 0, 255, 150, 40, 255, 150, 40, 60, 150, 255]);
    // A distance of colours has no sign, so that a darker pixel has the colour of a rise.
    expect(Array.from(heatMap(gray(200), gray(149), 'color', 0.4).data)).toEqual([128, 75, 20]);
  });
});

describe('sheetOf', () => {
  it('puts each row of pictures side by side on white', () => {
    const sheet = sheetOf([
      [gray(1, 2), color(3, 4, 5, 6, 7, 8)],
      [gray(9, 9), gray(9, 9)],
    ]);
    const pixel = (x: number, y: number) => Array.from(sheet.data.slice(3 * (y * sheet.width + x)).slice(0, 3));
    expect([sheet.width, sheet.height]).toEqual([8 + 6 + 8, 8 + 2 * 9]);
    expect([pixel(0, 0), pixel(8, 8), pixel(9, 8), pixel(10, 8), pixel(12, 8), pixel(13, 8), pixel(8, 17)]).toEqual([
      [255, 255, 255],
      [1, 1, 1],
      [2, 2, 2],
      [255, 255, 255],
      [3, 4, 5],
      [6, 7, 8],
      [9, 9, 9],
    ]);
  });
});

describe('eam diff', () => {
  it('draws the same pairs in any batch, sorts them, and writes a page and a PNG', async () => {
    const output = join(temporaryFolder(), 'run');
    const evaluation = { count: 6, steps: 2, seed: 3, batch: 4 };
    await finetune({
      model: await tinyModelDirectory(),
      prompts: ['0', '1', '2'],
      rewards: [{ name: 'stroke-weight' }],
      algorithm: { name: 'eam', steps: 2, renoisings: 2, delta: 0.3 },
      optimizer: { learningRate: 0.05 },
      ...{ steps: 2, batch: 4, samples: { count: 2, steps: 2 }, evaluation, output },
    });
    const { code, stdout } = await eam('diff', output, '--count', '7', '--show', '3', '--quiet', '--json');
    expect(code).toBe(0);
    const result = JSON.parse(stdout) as Diff;
    expect(result).toMatchObject({ step: 2, count: 7, seed: '3', measure: 'luminance', notFinite: 0 });
    expect(result.samples.map(({ sample }) => sample).sort()).toEqual([0, 1, 2, 3, 4, 5, 6]);
    const changes = result.samples.map(({ change }) => change);
    expect(changes).toEqual([...changes].sort((one, other) => other - one));
    expect(changes[0]).toBeGreaterThan(0);
    expect(result.prompts.map(({ images }) => images).sort()).toEqual([2, 2, 3]);
    const html = readFileSync(join(output, 'diff.html'), 'utf8');
    expect(html.match(/<img /g)).toHaveLength(9);
    expect(html).toContain(`the colours are full at ${result.scale.toFixed(3)}`);
    expect(html).not.toContain('<script');
    // Two columns of 3 · 8 pixels or one: the sheet holds three rows.
    expect((await readPng(join(output, 'diff.png'))).height).toBeGreaterThan(8);

    const again = await diff(join(output, 'checkpoints', 'step-2'), {
      count: 7,
      scale: 0.5,
      out: join(output, 'b.html'),
    });
    expect(again.scale).toBe(0.5);
    for (const [at, { change }] of again.samples.entries()) expect(change).toBeCloseTo(changes[at]!, 2);
    expect((await eam('diff', output, '--count', '4', '--quiet')).stdout).toMatch(
      /^prompt +pairs +change +luminance +pixels\n/,
    );

    const cases = [
      { args: [join(output, 'nowhere')], code: 1, message: /there is no run at .*nowhere/ },
      { args: [join(output, 'samples')], code: 1, message: /samples has no checkpoint/ },
      { args: [output, '--out', 'x.png'], code: 2, message: /out: expected a path that ends in \.html, got/ },
      { args: [output, '--scale', '0'], code: 2, message: /scale/ },
    ];
    for (const { args, code, message } of cases)
      expect(await eam('diff', ...args, '--quiet')).toMatchObject({
        code,
        stderr: expect.stringMatching(message) as string,
      });
    await expect(diff(output, { shown: 3 } as never)).rejects.toThrow(/shown/);

    // The model that the run was trained on is replaced by another.
    rmSync(join(output, 'diff.html'));
    const other = await tinyModelDirectory({ depth: 1 });
    const config = JSON.parse(readFileSync(join(output, 'config.json'), 'utf8')) as { model: string };
    rmSync(config.model, { recursive: true });
    const { cpSync } = await import('node:fs');
    cpSync(other, config.model, { recursive: true });
    expect((await eam('diff', output, '--quiet')).stderr).toMatch(/another model/);
    expect(existsSync(join(output, 'diff.html'))).toBe(false);
  });
});
