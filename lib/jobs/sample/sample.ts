import { existsSync } from 'node:fs';
import { readdir, writeFile } from 'node:fs/promises';
import { dirname, extname, join } from 'node:path';

import { expected } from '../../schema/validate.js';
import { ConfigError } from '../../errors.js';
import { checkOutput } from '../../files/output-path.js';
import { otherImages } from '../../files/image-formats.js';
import type { Model } from '../../models/model.js';
import { binding } from '../../runtime/native/index.js';
import type { SolverName } from '../../runtime/ode-solver.js';
import { packageVersion } from '../../runtime/package.js';
import type { Tensor } from '../../runtime/native/tensor.js';
import { cyclePrompts, encodeGrid, sampleBatches, sampleImages, type SampleOptions } from '../../training/sampler.js';
import { promptProgress } from '../progress.js';
import { slugOf } from '../text.js';
import { openAdaptedModel, type AdaptedModel, type ModelChoice } from '../adapted-model.js';
import { makeDirectory } from '../../runtime/make-directory.js';

/** What `eam sample` draws, and how; what is left out is the model's own choice. */
export interface SampleSettings extends ModelChoice {
  /** Repeated in turn until there are `count`. */
  prompts: readonly string[];
  negative?: string | undefined;
  count?: number | undefined;
  columns?: number | undefined;
  steps?: number | undefined;
  solver?: SolverName | undefined;
  guidance?: number | undefined;
  seed: number;
  batch?: number | undefined;
  /** A path that ends in .png, of one grid of all images; or a folder, of a PNG each. */
  out: string;
  /** Write into a folder that holds images already. */
  overwrite?: boolean | undefined;
}

/** Draws images into PNGs whose text metadata keeps the settings; `onNote` is told the path of each. */
export async function sample(
  settings: SampleSettings,
  { onNote, signal }: { onNote: (line: string) => void; signal: AbortSignal },
): Promise<void> {
  const { out } = settings;
  if (settings.prompts.length === 0)
    throw new ConfigError(expected('--prompt', 'at least one, such as --prompt 3', 'none'));
  const extension = extname(out).toLowerCase();
  const isGrid = extension === '.png';
  if (otherImages.has(extension))
    throw new ConfigError(
      `--out ${out}: ${extension} is not written, only PNG: name ${out.slice(0, -extension.length)}.png, or a folder ` +
        'for a PNG each',
    );
  await checkOutput(
    out,
    isGrid ? 'file' : 'directory',
    isGrid ? undefined : 'name another folder, or for one PNG of all images a path that ends in .png',
  );
  if (!isGrid && !settings.overwrite) await refuseMixing(out);
  const opened = await openAdaptedModel(settings, onNote);
  using model = opened.model;
  const count = settings.count ?? model.sampling.count ?? settings.prompts.length;
  const drawing = { ...drawingOf(settings, opened, count), onNote, onPrepare: promptProgress(onNote), signal };
  const record = recordOf(settings, opened, drawing);
  if (isGrid) {
    const columns = Math.min(settings.columns ?? Math.ceil(Math.sqrt(count)), count);
    const isThere = existsSync(out);
    await writeGrid(out, model, drawing, columns, { ...record, prompts: settings.prompts });
    onNote(isThere ? `${out} (replaced)` : out);
  } else {
    await writeEach(out, model, drawing, record, onNote);
  }
}

/** Images of two calls in one folder cannot be told apart, and some would replace others. */
async function refuseMixing(folder: string): Promise<void> {
  const names = await readdir(folder).catch(() => []);
  const found = names.filter((name) => /^\d+(-.*)?\.png$/.test(name)).sort();
  if (found.length === 0) return;
  throw new ConfigError(
    `--out ${folder} holds images already, such as ${found[0]}: name another folder, or replace those of the same ` +
      'names with --overwrite',
  );
}

function drawingOf(settings: SampleSettings, opened: AdaptedModel, count: number) {
  const { sampling } = opened.model;
  const {
    steps = sampling.steps,
    solver = sampling.solver,
    guidance = opened.guidance,
    batch = sampling.batch,
  } = settings;
  return {
    prompts: cyclePrompts(settings.prompts, count),
    negativePrompt: settings.negative,
    steps,
    solver,
    guidance,
    seed: BigInt(settings.seed),
    batch,
  };
}

/** What a PNG's text metadata keeps. */
function recordOf(
  { negative, seed }: SampleSettings,
  { model, source, adapters, textLength }: AdaptedModel,
  { steps, solver, guidance, prompts }: ReturnType<typeof drawingOf>,
) {
  return {
    version: packageVersion,
    model: source,
    adapter: adapterText(adapters),
    negative: negative ?? null,
    textLength: textLength ?? null,
    steps,
    solver,
    guidance,
    seed,
    dtype: model.dtype,
    count: prompts.length,
  };
}

/** One adapter as it is by its path, others as the command line takes them. */
function adapterText(adapters: AdaptedModel['adapters']): string | string[] | null {
  const texts = adapters.map(({ path, weight }) => (weight === 1 ? path : `${path}:${weight}`));
  return texts.length > 1 ? texts : (texts[0] ?? null);
}

async function writeGrid(
  path: string,
  model: Model,
  drawing: SampleOptions,
  columns: number,
  record: object,
): Promise<void> {
  makeDirectory(dirname(path));
  using images = await sampleImages(model, drawing);
  const [count, , height, width] = images.shape;
  const text = { 'eam-torch': JSON.stringify({ ...record, width, height }) };
  // A single image is what it is, without a frame.
  await writeFile(path, await encodeGrid(images, columns, text, count === 1 ? 0 : 2));
}

/** Writes a PNG an image, named by its number and its prompt, as soon as its batch is drawn. */
async function writeEach(
  folder: string,
  model: Model,
  drawing: SampleOptions,
  record: object,
  onNote: (line: string) => void,
): Promise<void> {
  makeDirectory(folder);
  const digits = String(drawing.prompts.length).length;
  let number = 0;
  for await (const batch of sampleBatches(model, drawing)) {
    using images = batch.images;
    for (const [index, image] of (await rowsOf(images)).entries()) {
      const prompt = batch.prompts[index]!;
      const name = [String(++number).padStart(digits, '0'), slugOf(prompt)].filter(Boolean).join('-');
      const path = join(folder, `${name}.png`);
      const [, , height, width] = image.shape;
      // Sample `number` − 1 of the seed, whatever is drawn beside it.
      const text = { 'eam-torch': JSON.stringify({ ...record, prompt, sample: number - 1, width, height }) };
      await writeFile(path, await encodeGrid(image, 1, text, 0));
      image.dispose();
      onNote(path);
    }
  }
}

/** [B, …] as B tensors [1, …] on the CPU. */
async function rowsOf(images: Tensor): Promise<Tensor[]> {
  const [count, ...shape] = images.shape as [number, ...number[]];
  const data = (await images.data()) as Float32Array;
  const length = data.length / count;
  return Array.from({ length: count }, (_, row) =>
    binding().Tensor.from(data.slice(row * length, (row + 1) * length), [1, ...shape]),
  );
}
