// What binding.gyp runs: the native build, and its results where node-gyp and prebuildify look for them.
// usage: node scripts/gyp-build.mjs <variant> <folder of the .node file>

import { spawnSync } from 'node:child_process';
import { copyFileSync, existsSync, mkdirSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath, pathToFileURL } from 'node:url';

const [variant, productDirectory] = process.argv.slice(2);
const root = fileURLToPath(new URL('..', import.meta.url));
const builder = join(root, 'dist', 'build', 'native-build.js');

const setup = join(root, 'scripts', 'setup.mjs');
if (existsSync(setup)) {
  // A clone: its TypeScript may not be compiled yet. The published package carries dist and no setup script.
  const result = spawnSync(process.execPath, [setup, '--typescript-only'], { stdio: 'inherit' });
  if (result.status !== 0) process.exit(1);
}

const { buildNative } = await import(pathToFileURL(builder).href);
try {
  const { directory } = await buildNative({ variant, report: console.log });
  mkdirSync(productDirectory, { recursive: true });
  copyFileSync(join(directory, 'eam_torch.node'), join(productDirectory, 'eam_torch.node'));
  // prebuildify takes the one .node file above and, with --artifacts, this folder.
  const artifacts = join(root, 'build', 'artifacts');
  mkdirSync(artifacts, { recursive: true });
  for (const name of ['eam_loader.node', 'eam_torch.json']) copyFileSync(join(directory, name), join(artifacts, name));
} catch (error) {
  console.error(error.message);
  process.exit(1);
}
