import { readdir } from 'node:fs/promises';
import { extname, join, normalize, resolve } from 'node:path';

import { z } from 'zod';

import { ConfigError } from '../errors.js';
import { sha256 } from '../files/content.js';
import { ImageFileError, readPng, type Picture } from '../files/png/read.js';
import { binding } from '../runtime/native/index.js';
import type { Tensor } from '../runtime/native/tensor.js';
import { parseLine } from '../schema/prompts.js';
import { readText } from '../schema/text.js';
import { expected, validate } from '../schema/validate.js';

/** Images of one's own that a recipe trains on. */
export const folderSettings = {
  name: z.literal('folder').describe('The name says which images: those of a folder.'),
  path: z
    .string()
    .min(1)
    .transform((path) => resolve(path))
    .describe('This folder holds PNGs, and a labels.jsonl that has a line for each.'),
};

/** What says what each image shows, in the folder. */
const labelsFile = 'labels.jsonl';

const lineSchema = z
  .strictObject({
    file: z.string().min(1),
    label: z.int().min(0).optional(),
    caption: z.string().trim().min(1).optional(),
  })
  .superRefine(({ label, caption }, context) => {
    if ((label === undefined) === (caption === undefined))
      context.addIssue({ code: 'custom', message: 'expected a label or a caption' });
  });

/** The size of the images that a network takes, in pixels; of 1 or 3 channels. */
export interface ImageShape {
  channels: number;
  height: number;
  width: number;
}

/** The images of a folder, in the order of its labels. */
export interface ImageFolder {
  /** [N, channels, height, width] float32 in [0, 1]. */
  images: Tensor;
  /** What each shows: a number, or a caption. */
  labels: readonly string[];
  hasCaptions: boolean;
  /** The variance of the pixels about their mean, black at -1 and white at 1. */
  variance: number;
  /** Tells other images, and other labels, from these. */
  fingerprint: string;
}

/** Problems that are listed; of thousands, nobody reads more. */
const listed = 8;

/**
 * Reads a folder of PNGs and its labels.jsonl, with `{"file": "a.png", "label": 3}` or `{"file": "a.png", "caption": "a
 * red circle"}` a line. All of them are kept in memory.
 * @param device where the images are put
 * @throws ConfigError that names what does not fit: a line, a file without a line, a line without a file, an image of
 * another size, with colours where one channel is wanted, or that cannot be read
 */
export async function readImageFolder(
  folder: string,
  shape: ImageShape,
  device: string,
  signal?: AbortSignal,
): Promise<ImageFolder> {
  const lines = await readLabels(folder);
  refuseProblems(folder, await compareWithFiles(folder, lines));
  const { channels, height, width } = shape;
  const pixels = new Float32Array(lines.length * channels * height * width);
  const problems: string[] = [];
  for (const [index, { file }] of lines.entries()) {
    signal?.throwIfAborted();
    const found = await readImage(join(folder, file), shape);
    if (typeof found === 'string') problems.push(found);
    else pixels.set(found, index * channels * height * width);
  }
  refuseProblems(folder, problems);
  const labels = lines.map(({ label, caption }) => caption ?? String(label));
  return {
    images: binding().Tensor.from(pixels, [lines.length, channels, height, width], { device }),
    labels,
    hasCaptions: lines[0]!.caption !== undefined,
    variance: varianceOf(pixels),
    fingerprint: sha256(JSON.stringify([sha256(new Uint8Array(pixels.buffer)), labels])),
  };
}

type Line = z.output<typeof lineSchema>;

async function readLabels(folder: string): Promise<Line[]> {
  const path = join(folder, labelsFile);
  const lines = (await readText(path)).split(/\r\n|\n|\r/).flatMap((text, index) => {
    const place = `${path}, line ${index + 1}`;
    return text.trim() === '' ? [] : [validate(lineSchema, parseLine(text, place), place)];
  });
  if (lines.length === 0) throw new ConfigError(expected(path, 'a line for each image', 'none'));
  const labelled = lines.filter(({ label }) => label !== undefined).length;
  if (labelled > 0 && labelled < lines.length)
    throw new ConfigError(expected(path, `labels in all of its ${lines.length} lines, or captions in all`, labelled));
  return lines.map((line) => ({ ...line, file: normalize(line.file) }));
}

/** What of the labels and of the folder has no counterpart in the other. */
async function compareWithFiles(folder: string, lines: readonly Line[]): Promise<string[]> {
  const names = await readdir(folder, { recursive: true });
  const files = new Set(names.filter((name) => extname(name).toLowerCase() === '.png' && !/(^|[/\\])\._/.test(name)));
  const named = new Set<string>();
  const problems: string[] = [];
  for (const { file } of lines) {
    if (named.has(file)) problems.push(`${file} has two lines in ${labelsFile}`);
    else if (!files.has(file)) problems.push(`${file} of ${labelsFile} is no .png file there`);
    named.add(file);
  }
  for (const file of files) if (!named.has(file)) problems.push(`${file} has no line in ${labelsFile}`);
  return problems;
}

/** The pixels of one image as the network takes them, or what is wrong with it. */
async function readImage(path: string, { channels, height, width }: ImageShape): Promise<Float32Array | string> {
  let picture: Picture;
  try {
    picture = await readPng(path);
  } catch (error) {
    if (error instanceof ImageFileError) return error.message;
    throw error;
  }
  if (picture.width !== width || picture.height !== height)
    return expected(path, `${width} × ${height} pixels, as the model takes`, `${picture.width} × ${picture.height}`);
  if (channels === 3) return picture.data;
  const plane = picture.data.subarray(0, height * width);
  const isGray = picture.data.every((number, index) => number === plane[index % plane.length]);
  return isGray ? plane : expected(path, 'shades of gray, as the model has one channel', 'colours');
}

/** @throws ConfigError that lists the first of them */
function refuseProblems(folder: string, problems: readonly string[]): void {
  if (problems.length === 0) return;
  const more = problems.length > listed ? [`and ${problems.length - listed} more`] : [];
  throw new ConfigError(
    [`${folder}: images and labels do not fit:`, ...problems.slice(0, listed), ...more].join('\n  '),
  );
}

function varianceOf(pixels: Float32Array): number {
  let sum = 0;
  let squares = 0;
  for (const pixel of pixels) {
    const latent = 2 * pixel - 1;
    sum += latent;
    squares += latent * latent;
  }
  const mean = sum / pixels.length;
  return squares / pixels.length - mean * mean;
}
