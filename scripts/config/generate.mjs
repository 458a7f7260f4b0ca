// Writes what is told of configurations from their schemas: docs/configuration.md, schemas/*.schema.json, and the
// types in lib/jobs/settings/config.generated.ts. lib/ is compiled without a look at its types, which may need those.

import { spawnSync } from 'node:child_process';
import { mkdirSync, rmSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { fileURLToPath, pathToFileURL } from 'node:url';

import { outputs } from './outputs.mjs';

const root = fileURLToPath(new URL('../..', import.meta.url));

function run(program, args, input) {
  const { status, stdout, stderr } = spawnSync(process.execPath, [join(root, 'node_modules', program), ...args], {
    cwd: root,
    input,
    encoding: 'utf8',
  });
  if (status !== 0) throw new Error(`${program} ${args.join(' ')}: ${stderr || stdout}`);
  return stdout;
}

async function readConfigurations() {
  // Beside dist/: the package finds its own folder from there.
  const compiled = join(root, 'dist.generate');
  try {
    run('typescript/bin/tsc', ['-p', '.', '--noCheck', '--declaration', 'false', '--outDir', compiled]);
    return (await import(pathToFileURL(join(compiled, 'jobs', 'configurations.js')).href)).configurations;
  } finally {
    rmSync(compiled, { recursive: true, force: true });
  }
}

/** A file as Biome formats it. */
const formatted = (path, text) => run('@biomejs/biome/bin/biome', ['format', `--stdin-file-path=${path}`], text);

for (const [path, text] of Object.entries(outputs(await readConfigurations()))) {
  mkdirSync(join(root, dirname(path)), { recursive: true });
  writeFileSync(join(root, path), formatted(path, text));
}
