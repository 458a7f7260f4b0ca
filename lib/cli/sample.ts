import { mkdir, writeFile } from 'node:fs/promises';
import { dirname, join } from 'node:path';

import { listCheckpoints } from '../checkpoints.js';
import { ConfigError, type CheckpointError } from '../errors.js';
import { readAdapterConfig } from '../models/adapter.js';
import { loadModel } from '../models/registry.js';
import type { SolverName } from '../ode-solver.js';
import { RunDirectory } from '../run-directory.js';
import { cyclePrompts, encodeGrid, sampleImages } from '../sampler.js';

interface SampleFlags {
  model?: string;
  adapter?: string;
  prompt: string[];
  count: number;
  columns?: number;
  steps: number;
  solver: SolverName;
  guidance: number;
  seed: number;
  device: string;
  out: string;
  quiet?: boolean;
}

export async function runSample(flags: SampleFlags, signal: AbortSignal): Promise<void> {
  const { prompt, count, steps, solver, guidance, seed, device, out } = flags;
  if (prompt.length === 0) throw new ConfigError('sample: expected at least one --prompt, such as --prompt 3');
  const directory = flags.adapter === undefined ? undefined : await adapterDirectory(flags.adapter, (error) => {
    if (!flags.quiet) process.stderr.write(`passed over: ${error.message}\n`);
  });
  const adapter = directory === undefined ? undefined : await readAdapterConfig(directory);
  const source = flags.model ?? adapter?.base ?? 'digits';
  using model = await loadModel(source, { device, adapter });
  if (directory !== undefined) await model.loadAdapter(directory);
  const images = await sampleImages(model, { prompts: cyclePrompts(prompt, count), steps, solver, guidance, seed: BigInt(seed), signal });
  try {
    const settings = { model: source, adapter: directory ?? null, prompts: prompt, count, steps, solver, guidance, seed };
    const columns = flags.columns ?? Math.ceil(Math.sqrt(count));
    await mkdir(dirname(out), { recursive: true });
    await writeFile(out, await encodeGrid(images, Math.min(columns, count), { 'eam-torch': JSON.stringify(settings) }));
  } finally {
    images.dispose();
  }
  if (!flags.quiet) process.stderr.write(`${out}\n`);
}

/** An adapter's own directory, or the newest whole checkpoint of a run's. @throws CheckpointError if all are damaged */
export async function adapterDirectory(path: string, onRejected: (error: CheckpointError) => void): Promise<string> {
  if ((await listCheckpoints(join(path, 'checkpoints'))).length === 0) return path;
  return (await RunDirectory.withCheckpoint(path, onRejected)).checkpoint.directory;
}
