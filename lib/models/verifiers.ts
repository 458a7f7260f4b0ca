import { join } from 'node:path';

import { z } from 'zod';

import { readJson } from '../config/read.js';
import { ConfigError } from '../errors.js';
import type { Verifier } from '../verify/verification.js';
import { verifySd3 } from './sd3/verify.js';

/** From the class in a directory's model_index.json to what checks the directory against its goldens. */
const verifiers: Readonly<Record<string, Verifier>> = { StableDiffusion3Pipeline: verifySd3 };

/** @throws ConfigError for a directory of another class, or that is none of a published model */
export async function modelVerifier(directory: string): Promise<Verifier> {
  const path = join(directory, 'model_index.json');
  const { data } = z.object({ _class_name: z.string() }).safeParse(await readJson(path));
  if (data && Object.hasOwn(verifiers, data._class_name)) return verifiers[data._class_name]!;
  throw new ConfigError(`${path} is of ${data?._class_name ?? 'no known class'}; verified can be: ${Object.keys(verifiers).join(', ')}`);
}
