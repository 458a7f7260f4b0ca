import { mkdirSync, readFileSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';

import { encode } from 'fast-png';
import { describe, expect, it } from 'vitest';

import type { ScoreSummary } from '../../lib/jobs/evaluate/summary.js';
import { eam } from '../helpers/command-line.js';
import { temporaryFolder } from '../helpers/tiny-run.js';
import { lines, promptsOf } from '../helpers/evaluation-files.js';

/** Grey images, each of one shade, and their prompts. */
function folderOf(shades: Record<string, number>, size = 4): string {
  const folder = temporaryFolder();
  for (const [name, shade] of Object.entries(shades)) {
    writeFileSync(
      join(folder, name),
      encode({ width: size, height: size, channels: 1, data: new Uint8Array(size * size).fill(shade) }),
    );
  }
  return folder;
}

describe('eam evaluate --images', () => {
  it('scores PNGs in the order of their names', async () => {
    const folder = folderOf({ 'b.png': 255, 'a.png': 0, 'c.PNG': 51 });
    writeFileSync(join(folder, 'notes.txt'), 'not an image');
    const out = join(temporaryFolder(), 'deep', 'scores.jsonl');
    const { code, stdout, stderr } = await eam(
      'evaluate',
      '--images',
      folder,
      '--prompts',
      promptsOf('one', '', 'two', 'one'),
      '--reward',
      'stroke-weight,scale=10',
      '--out',
      out,
      '--json',
      '--quiet',
    );
    expect([code, stderr]).toEqual([0, '']);
    expect(lines(out)).toEqual([
      { file: 'a.png', prompt: 'one', scores: { 'stroke-weight': 0 } },
      { file: 'b.png', prompt: 'two', scores: { 'stroke-weight': 10 } },
      { file: 'c.PNG', prompt: 'one', scores: { 'stroke-weight': expect.closeTo(2, 5) } },
    ]);
    const { rewards, images, prompts } = JSON.parse(stdout) as ScoreSummary;
    expect([images, prompts, rewards[0]!.mean]).toEqual([3, 2, expect.closeTo(4, 5)]);
  });

  it('orders numbered names as people do, 10 after 2', async () => {
    const shades = Object.fromEntries(Array.from({ length: 12 }, (_, index) => [`image-${index}.png`, 20 * index]));
    const prompts = Object.keys(shades).map((_, index) => `p${index}`);
    const out = join(temporaryFolder(), 'scores.jsonl');
    await eam(
      'evaluate',
      '--images',
      folderOf(shades),
      '--prompts',
      promptsOf(...prompts),
      '--reward',
      'stroke-weight,scale=255',
      '--out',
      out,
      '--quiet',
    );
    expect(lines(out)).toEqual(
      prompts.map((prompt, index) => ({
        file: `image-${index}.png`,
        prompt,
        scores: { 'stroke-weight': expect.closeTo(20 * index, 3) as number },
      })),
    );
  });

  it('pairs them by lines of JSON, in any order and size', async () => {
    const folder = folderOf({ 'a.png': 0, 'b.png': 255 });
    writeFileSync(
      join(folder, 'wide.png'),
      encode({ width: 9, height: 2, channels: 3, data: new Uint8Array(54).fill(255) }),
    );
    const out = join(temporaryFolder(), 'scores.jsonl');
    const file = promptsOf('{"file":"wide.png","prompt":"w"}', '{"prompt":"a","file":"a.png"}');
    expect(
      await eam(
        'evaluate',
        '--images',
        folder,
        '--prompts',
        file,
        '--reward',
        'stroke-weight',
        '--out',
        out,
        '--quiet',
      ),
    ).toMatchObject({ code: 0 });
    expect(lines(out)).toMatchObject([
      { file: 'wide.png', prompt: 'w', scores: { 'stroke-weight': 10 } },
      { file: 'a.png', prompt: 'a' },
    ]);
  });

  it.each([
    {
      what: 'as many prompts as images',
      content: ['one'],
      message: /prompts\.txt: expected as many prompts as .* has \.png files, 2, or lines of .*, got 1/,
    },
    {
      what: 'a file that is there',
      content: ['{"file":"x.png","prompt":"p"}'],
      message: /prompts\.jsonl: expected names of \.png files in .*, got "x\.png"/,
    },
    {
      what: 'a file in each line, or in none',
      content: ['{"file":"a.png","prompt":"p"}', '{"prompt":"p"}'],
      message: /prompts\.jsonl: expected a "file" in all of its 2 lines or in none, got 1/,
    },
    {
      what: 'JSON',
      content: ['{"file":"a.png","prompt":"p"}', 'p'],
      message: /prompts\.jsonl, line 2: expected a JSON object, got no JSON/,
    },
    { what: 'prompts', content: ['{"file":"a.png"}'], message: /line 1: expected \{"prompt"/ },
    { what: 'some prompts', content: [''], message: /prompts\.txt: expected a prompt a line, got none/ },
  ])('expects $what', async ({ content, message }) => {
    const result = await eam(
      'evaluate',
      '--images',
      folderOf({ 'a.png': 0, 'b.png': 1 }),
      '--prompts',
      promptsOf(...content),
      '--reward',
      'stroke-weight',
      '--quiet',
    );
    expect(result.code).toBe(2);
    expect(result.stderr).toMatch(message);
  });

  it('names the image that cannot be read or scored', async () => {
    const folder = folderOf({ 'a.png': 0 });
    writeFileSync(join(folder, 'b.png'), readFileSync(join(folder, 'a.png')).subarray(0, 50));
    const damaged = await eam(
      'evaluate',
      '--images',
      folder,
      '--prompts',
      promptsOf('a', 'b'),
      '--reward',
      'stroke-weight',
      '--quiet',
    );
    expect([damaged.code, damaged.stderr]).toEqual([
      1,
      expect.stringMatching(/1 of 2 images could not be read; .*\n {2}b\.png is cut short: it has 50 bytes/),
    ]);
    const wrong = await eam(
      'evaluate',
      '--images',
      folderOf({ 'c.png': 0 }),
      '--prompts',
      promptsOf('3'),
      '--reward',
      'digit-classifier',
      '--quiet',
    );
    expect([wrong.code, wrong.stderr]).toEqual([1, expect.stringMatching(/c\.png: reward "digit-classifier" failed/)]);
  });

  it('passes over what cannot be read, scores the others, lists it and fails', async () => {
    const folder = folderOf(Object.fromEntries(Array.from({ length: 12 }, (_, index) => [`${index}.png`, 255])));
    const whole = readFileSync(join(folder, '0.png'));
    const bad: Record<string, Uint8Array> = {
      '1.png': new Uint8Array(0),
      '2.png': whole.subarray(0, 50),
      '5.png': Buffer.from('GIF89a'),
      '11.png': encode({ width: 1, height: 1, channels: 4, data: Uint8Array.of(1, 2, 3, 0) }),
    };
    for (const [name, bytes] of Object.entries(bad)) writeFileSync(join(folder, name), bytes);
    rmSync(join(folder, '7.png'));
    symlinkSync('nowhere', join(folder, '7.png'));
    const out = join(temporaryFolder(), 'scores.jsonl');
    const prompts = promptsOf(...Array.from({ length: 12 }, (_, index) => `p${index % 2}`));
    const args = ['--images', folder, '--prompts', prompts, '--reward', 'stroke-weight', '--out', out];
    const { code, stdout, stderr } = await eam('evaluate', ...args, '--json', '--quiet');
    expect(code).toBe(1);
    const summary = JSON.parse(stdout) as ScoreSummary;
    expect(summary).toMatchObject({ images: 7, rewards: [{ images: 7, mean: 10 }] });
    expect(summary.skipped).toEqual([
      { file: '1.png', problem: 'is no PNG: it is empty' },
      { file: '2.png', problem: expect.stringContaining('is cut short') as string },
      { file: '5.png', problem: 'is no PNG: it starts otherwise' },
      { file: '7.png', problem: expect.stringContaining('cannot be read: ENOENT') as string },
      { file: '11.png', problem: expect.stringContaining('is partly transparent') as string },
    ]);
    expect(stderr).toMatch(
      /^error: 5 of 12 images could not be read; the figures are those of the others:\n {2}1\.png is/,
    );
    expect((lines(out) as { file: string }[]).map(({ file }) => file)).toEqual(
      [0, 3, 4, 6, 8, 9, 10].map((index) => `${index}.png`),
    );
  });

  it("takes neither macOS's files beside images nor folders for images", async () => {
    const folder = folderOf({ 'a.png': 0, 'b.png': 255 });
    for (const name of ['._a.png', '._b.png', '._.DS_Store']) writeFileSync(join(folder, name), 'x');
    mkdirSync(join(folder, 'c.png'));
    symlinkSync('c.png', join(folder, 'd.png'));
    const args = ['--images', folder, '--prompts', promptsOf('a', 'b'), '--reward', 'stroke-weight', '--json'];
    const { code, stdout } = await eam('evaluate', ...args, '--quiet');
    expect([code, (JSON.parse(stdout) as ScoreSummary).images]).toEqual([0, 2]);
  });

  it('says of images of other kinds that they are not read, beside PNGs too', async () => {
    const folder = folderOf({ 'a.png': 0 });
    writeFileSync(join(folder, 'b.jpeg'), '');
    for (const prompts of [promptsOf('a', 'b'), promptsOf('{"file":"b.jpeg","prompt":"b"}')]) {
      const result = await eam(
        'evaluate',
        '--images',
        folder,
        '--prompts',
        prompts,
        '--reward',
        'stroke-weight',
        '--quiet',
      );
      expect([result.code, result.stderr]).toEqual([
        2,
        expect.stringContaining('; it has .jpeg files, which are not read: convert them to PNG\n'),
      ]);
    }
  });

  it('keeps the scores that are there until there are others, and says that weights are left aside', async () => {
    const [folder, out] = [temporaryFolder(), join(temporaryFolder(), 'scores.jsonl')];
    writeFileSync(out, 'earlier\n');
    for (const name of ['a.png', 'b.png']) writeFileSync(join(folder, name), 'none');
    const args = ['--reward', 'stroke-weight,weight=3', '--out', out, '--prompts'];
    expect(await eam('evaluate', '--images', folder, ...args, promptsOf('p', 'q'))).toMatchObject({
      code: 1,
      stderr: expect.stringMatching(
        /none of 2 images could be read:\n {2}a\.png is no PNG.*\n {2}b\.png is no PNG/,
      ) as unknown,
    });
    expect(readFileSync(out, 'utf8')).toBe('earlier\n');
    const { stderr } = await eam(
      'evaluate',
      '--images',
      folderOf({ 'a.png': 0, 'b.png': 255, 'c.png': 255 }),
      '--batch',
      '1',
      ...args,
      promptsOf('p', 'q', 'r'),
    );
    expect(stderr).toMatch(
      new RegExp(
        String.raw`^weights are left aside: each reward is scored by itself\nimage 1/3 .*image 3/3 {2}\S+ ` +
          String.raw`images/s {2}0s left\n$`,
        's',
      ),
    );
    expect(lines(out)).toMatchObject([0, 10, 10].map((value) => ({ scores: { 'stroke-weight': value } })));
  });

  it('names the file or folder that is missing', async () => {
    const folder = folderOf({ 'a.png': 0 });
    for (const name of ['empty', 'photos']) mkdirSync(join(folder, name));
    for (const name of ['a.JPG', 'b.webp', 'notes.txt']) writeFileSync(join(folder, 'photos', name), '');
    const cases: { args: string[]; message: RegExp }[] = [
      { args: [], message: /expected one of a run's directory, --images, and --model or --adapter, got none/ },
      { args: ['somewhere', '--images', folder], message: /got a run and --images/ },
      { args: ['--images', folder, '--reward', 'stroke-weight'], message: /expected --prompts/ },
      {
        args: ['--images', folder, '--prompts', promptsOf('p')],
        message: /rewards: expected at least one, such as --reward .*, got none/,
      },
      {
        args: ['--images', join(folder, 'empty'), '--prompts', promptsOf('p'), '--reward', 'stroke-weight'],
        message: /empty: expected \.png files, got none\n/,
      },
      {
        args: ['--images', join(folder, 'photos'), '--prompts', promptsOf('p'), '--reward', 'stroke-weight'],
        message: /photos: expected \.png files, got none; it has \.jpg and \.webp files, .*: convert them to PNG/,
      },
      {
        args: ['--images', folder, '--prompts', promptsOf('p'), '--reward', 'pikscore=x'],
        message: /--reward pikscore=x: name: expected one of/,
      },
      {
        args: ['run', '--samples', '3'],
        message: /--samples: not for a run, which is evaluated on its own prompts and rewards/,
      },
      { args: ['run', '--dtype', 'float16', '--text-length', '9'], message: /--text-length, --dtype: not for a run/ },
      {
        args: ['--images', folder, '--prompts', promptsOf('p'), '--reward', 'stroke-weight', '--samples', '3'],
        message: /--samples: not for a folder of images/,
      },
      {
        args: ['--images', folder, '--prompts', promptsOf('p'), '--reward', 'stroke-weight', '--out', folder],
        message: /is a directory, and a file is to be written there/,
      },
      {
        args: ['--model', 'digits', '--prompts', promptsOf('3'), '--reward', 'stroke-weight', '--as-reference'],
        message: /samples are not files/,
      },
    ];
    for (const { args, message } of cases) {
      const { code, stderr } = await eam('evaluate', ...args, '--quiet');
      expect([code, stderr]).toEqual([2, expect.stringMatching(message)]);
    }
  });
});
