// What the comparisons with other projects' code have in common: test/oracles.
import { spawnSync } from 'node:child_process';
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';

import { expect } from 'vitest';

import { loadTensors } from '../../lib/files/safetensors.js';
import { binding } from '../../lib/runtime/native/index.js';
import type { Tensor } from '../../lib/runtime/native/tensor.js';

/** Where the other projects are: a Python that has their packages, and their sources. */
export function place(name: string): string {
  const value = process.env[name];
  if (value) return value;
  throw new Error(`${name} is not set: CONTRIBUTING.md, "Other projects' loaders", says to what`);
}

/**
 * What a script of test/oracles makes of a job with a project's code.
 * @param sources what Python imports the project's modules from
 * @param folder where the inputs are, and what is written is kept
 */
export function runOracle(
  script: string,
  project: string,
  sources: readonly string[],
  folder: string,
  job: object,
): Promise<Record<string, Tensor>> {
  const [path, out] = [join(folder, `${project}.json`), join(folder, `${project}.safetensors`)];
  writeFileSync(path, JSON.stringify({ inputs: join(folder, 'inputs.safetensors'), out, ...job }));
  const env = { ...process.env, PYTHONPATH: sources.join(':'), HF_HUB_OFFLINE: '1' };
  const file = fileURLToPath(new URL(`../oracles/${script}`, import.meta.url));
  const run = spawnSync(place('EAM_ORACLE_PYTHON'), [file, project, path], { env, encoding: 'utf8' });
  if (run.status !== 0) throw new Error(`${project}: ${run.stderr}`);
  // Where they say which of a file's tensors they had no use for.
  expect(run.stdout).not.toMatch(/unexpected_keys=\['/);
  expect(run.stderr).not.toMatch(
    /key not loaded|NOT LOADED|left over keys|unet missing|unet unexpected|Unsupported keys|no weight for/,
  );
  return loadTensors(out);
}

/** As `scaledError`, for as many numbers as a layer has. */
export async function largeError(value: Tensor, reference: Tensor): Promise<number> {
  const { largest, scale } = await binding().largestDifference(value, reference);
  return largest / scale;
}
