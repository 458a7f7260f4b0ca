import { join } from 'node:path';

import { z } from 'zod';

import { readJson } from '../schema/json.js';
import { ConfigError } from '../errors.js';
import type { Verifier } from './verification/verification.js';
import { checkSd3Classes } from './sd3/directory.js';
import { verifySd3 } from './sd3/verify.js';

interface PipelineVerifier {
  /** Whether it is such a pipeline to the end: before goldens are asked for. */
  check(directory: string): Promise<void>;
  verify: Verifier;
}

/** From the class in a directory's model_index.json to what checks the directory against its goldens. */
const verifiers: Readonly<Record<string, PipelineVerifier>> = {
  StableDiffusion3Pipeline: { check: checkSd3Classes, verify: verifySd3 },
};

/** @throws ConfigError for a directory of another class, or with a network of another, or that is none of a published model */
export async function modelVerifier(directory: string): Promise<Verifier> {
  const path = join(directory, 'model_index.json');
  const { data } = z.object({ _class_name: z.string() }).safeParse(await readJson(path));
  const supported = Object.keys(verifiers).join(', ');
  if (!data) throw new ConfigError(`${path} names no class; supported: ${supported}`);
  if (!Object.hasOwn(verifiers, data._class_name))
    throw new ConfigError(`${path}: the pipeline ${data._class_name} is not supported; supported: ${supported}`);
  const { check, verify } = verifiers[data._class_name]!;
  await check(directory);
  return verify;
}
