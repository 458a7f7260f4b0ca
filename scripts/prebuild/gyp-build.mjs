// What binding.gyp runs: the native build, and its results where prebuildify looks for them.
// usage: EAM_PREBUILD='{ "variant", "libtorch", "output", "artifacts" }' node gyp-build.mjs <folder of the .node file>

import { copyFileSync, mkdirSync } from 'node:fs';
import { join } from 'node:path';

import { buildNative } from '../../dist/jobs/build/native-build.js';

const [productDirectory] = process.argv.slice(2);
const { variant, libtorch, output, artifacts } = JSON.parse(process.env.EAM_PREBUILD);
try {
  const { directory } = await buildNative({ variant, libtorch, output, portable: true, report: console.log });
  // prebuildify takes the one .node file of the first folder and, with --artifacts, everything in the second.
  mkdirSync(productDirectory, { recursive: true });
  copyFileSync(join(directory, 'eam_torch.node'), join(productDirectory, 'eam_torch.node'));
  mkdirSync(artifacts, { recursive: true });
  for (const name of ['eam_loader.node', 'eam_torch.json']) copyFileSync(join(directory, name), join(artifacts, name));
} catch (error) {
  console.error(error.message);
  process.exit(1);
}
