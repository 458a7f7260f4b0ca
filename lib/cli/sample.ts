import { existsSync } from 'node:fs';
import { mkdir, writeFile } from 'node:fs/promises';
import { basename, dirname, extname, join, resolve } from 'node:path';

import { z } from 'zod';

import { listCheckpoints } from '../files/checkpoints.js';
import { modelSettings, type ModelSettings } from '../jobs/config/model.js';
import { readPrompts } from '../schema/prompts.js';
import { readJson } from '../schema/json.js';
import { validate } from '../schema/validate.js';
import { ConfigError, type CheckpointError } from '../errors.js';
import { adapterNote, readAdapterConfig } from '../models/adapters/adapter.js';
import type { ImageSize, Model, ModelDType } from '../models/model.js';
import { loadModel } from '../models/registry.js';
import { baseModel } from '../models/stored-model.js';
import type { SolverName } from '../runtime/ode-solver.js';
import { checkOutput } from '../files/output-path.js';
import { packageVersion } from '../runtime/package.js';
import { RunDirectory } from '../jobs/run-directory.js';
import { cyclePrompts, encodeGrid, sampleBatches, sampleImages, type SampleOptions } from '../training/sampler.js';
import type { Tensor } from '../runtime/tensor.js';
import { binding } from '../runtime/native/index.js';

/** Which model draws, and what. */
export interface ModelFlags {
  model?: string;
  adapter?: string;
  width?: number;
  height?: number;
  textLength?: number;
  dtype?: ModelDType;
  device?: string;
}

interface SampleFlags extends ModelFlags {
  prompt: string[];
  prompts?: string;
  negative?: string;
  count?: number;
  columns?: number;
  steps?: number;
  solver?: SolverName;
  guidance?: number;
  seed: number;
  batch?: number;
  out: string;
  quiet?: boolean;
}

export async function runSample(flags: SampleFlags, signal: AbortSignal): Promise<void> {
  const { seed, out, negative } = flags;
  const note = (line: string) => void (flags.quiet || process.stderr.write(`${line}\n`));
  const given = [...flags.prompt, ...(flags.prompts === undefined ? [] : readPrompts(flags.prompts))];
  if (given.length === 0) throw new ConfigError('sample: expected at least one --prompt, such as --prompt 3');
  const isGrid = extname(out).toLowerCase() === '.png';
  await checkOutput(
    out,
    isGrid ? 'file' : 'directory',
    isGrid ? undefined : 'name another folder, or for one PNG of all images a path that ends in .png',
  );
  const { model: opened, source, directory, textLength } = await openModel(flags, note);
  using model = opened;
  const {
    steps = model.sampling.steps,
    solver = model.sampling.solver,
    guidance = model.sampling.guidance,
    batch = model.sampling.batch,
  } = flags;
  const count = flags.count ?? model.sampling.count ?? given.length;
  const prompts = cyclePrompts(given, count);
  const sampling = {
    prompts,
    negativePrompt: negative,
    steps,
    solver,
    guidance,
    seed: BigInt(seed),
    batch,
    onNote: note,
    signal,
  };
  const settings = {
    version: packageVersion,
    model: source,
    adapter: directory ?? null,
    negative: negative ?? null,
    textLength: textLength ?? null,
    steps,
    solver,
    guidance,
    seed,
    dtype: model.dtype,
    count,
  };
  if (isGrid) {
    const columns = flags.columns ?? Math.ceil(Math.sqrt(count));
    await writeGrid(out, model, sampling, Math.min(columns, count), { ...settings, prompts: given });
    note(out);
  } else {
    await writeEach(out, model, sampling, settings, note);
  }
}

interface OpenedModel {
  model: Model;
  source: string;
  /** The adapter's. */
  directory: string | undefined;
  textLength: number | undefined;
}

/** The model with its adapter, where they came from, and how prompts are read: as the adapter's run did, where nobody says. */
export async function openModel(flags: ModelFlags, note: (line: string) => void): Promise<OpenedModel> {
  const { device, dtype } = flags;
  const directory =
    flags.adapter === undefined
      ? undefined
      : await adapterDirectory(flags.adapter, (error) => note(`passed over: ${error.message}`));
  const adapter = directory === undefined ? undefined : await readAdapterConfig(directory);
  const remark = adapter && adapterNote(directory!, adapter);
  if (remark !== undefined) note(remark);
  const source = flags.model ?? (adapter ? await baseModel(directory!, adapter.base) : 'digits');
  const trained = directory === undefined ? {} : await trainedWith(directory);
  const { textLength = trained.textLength } = flags;
  const model = await loadModel(source, { device, dtype, adapter, size: sizeOf(flags) ?? trained.image, textLength });
  try {
    if (directory !== undefined) await model.loadAdapter(directory);
    return { model, source, directory, textLength };
  } catch (error) {
    model.dispose();
    throw error;
  }
}

const trainedSchema = z.object({ image: modelSettings.image, textLength: modelSettings.textLength });

/** What the adapter of a run's checkpoint has seen; nothing of one that is not in a run with a record. */
async function trainedWith(directory: string): Promise<Partial<Pick<ModelSettings, 'image' | 'textLength'>>> {
  const checkpoints = dirname(resolve(directory));
  const record = join(dirname(checkpoints), 'config.json');
  return basename(checkpoints) === 'checkpoints' && existsSync(record)
    ? validate(trainedSchema, await readJson(record), record)
    : {};
}

/** One side alone is that of a square. */
function sizeOf({ width, height }: ModelFlags): ImageSize | undefined {
  const side = width ?? height;
  return side === undefined ? undefined : { width: width ?? side, height: height ?? side };
}

async function writeGrid(
  path: string,
  model: Model,
  sampling: SampleOptions,
  columns: number,
  settings: object,
): Promise<void> {
  const images = await sampleImages(model, sampling);
  try {
    const [count, , height, width] = images.shape;
    await mkdir(dirname(path), { recursive: true });
    // A single image is what it is, without a frame.
    await writeFile(
      path,
      await encodeGrid(
        images,
        columns,
        { 'eam-torch': JSON.stringify({ ...settings, width, height }) },
        count === 1 ? 0 : 2,
      ),
    );
  } finally {
    images.dispose();
  }
}

/** A PNG an image, named by its number and its prompt; each is written as soon as its batch is drawn. */
async function writeEach(
  folder: string,
  model: Model,
  sampling: SampleOptions,
  settings: object,
  note: (line: string) => void,
): Promise<void> {
  await mkdir(folder, { recursive: true });
  const digits = String(sampling.prompts.length).length;
  let number = 0;
  for await (const { images, prompts } of sampleBatches(model, sampling)) {
    try {
      for (const [index, image] of (await rowsOf(images)).entries()) {
        const prompt = prompts[index]!;
        const name = [String(++number).padStart(digits, '0'), slugOf(prompt)].filter(Boolean).join('-');
        const path = join(folder, `${name}.png`);
        const [, , height, width] = image.shape;
        // Sample `number` − 1 of the seed, whatever is drawn beside it.
        const text = { 'eam-torch': JSON.stringify({ ...settings, prompt, sample: number - 1, width, height }) };
        await writeFile(path, await encodeGrid(image, 1, text, 0));
        image.dispose();
        note(path);
      }
    } finally {
      images.dispose();
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

const slugOf = (prompt: string): string =>
  prompt
    .toLowerCase()
    .replace(/[^a-z0-9]+/g, '-')
    .slice(0, 40)
    .replace(/^-+|-+$/g, '');

/** An adapter's own directory, or the newest whole checkpoint of a run's. @throws CheckpointError if all are damaged */
export async function adapterDirectory(path: string, onRejected: (error: CheckpointError) => void): Promise<string> {
  if ((await listCheckpoints(join(path, 'checkpoints'))).length === 0) return path;
  return (await RunDirectory.withCheckpoint(path, onRejected)).checkpoint.directory;
}
