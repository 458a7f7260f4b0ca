// `npm run dev`: compiles TypeScript into dist/ whenever a file of lib/ is saved, until it is stopped. Set-up, and with
// it `npm test`, then finds dist/ up to date.

import { spawn } from 'node:child_process';
import { chmodSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';

import { compiler, root, sourcesHash, stampName } from './typescript.mjs';

const stamp = join(root, 'dist', stampName);
const options = ['--watch', '--preserveWatchOutput', '--incremental', '--tsBuildInfoFile', 'build/typescript/dev.json'];
const child = spawn(process.execPath, [compiler, '-p', '.', ...options], { cwd: root });
let compiled;
child.stdout.setEncoding('utf8').on('data', (text) => {
  process.stdout.write(text);
  if (/Starting|File change/.test(text)) {
    // Until it is compiled, dist/ is of no sources; and what is saved in the meantime is compiled next.
    rmSync(stamp, { force: true });
    compiled = sourcesHash();
  }
  if (/Found 0 errors/.test(text)) {
    chmodSync(join(root, 'dist', 'cli', 'main.js'), 0o755);
    writeFileSync(stamp, compiled);
  }
});
child.stderr.pipe(process.stderr);
child.on('exit', (code) => {
  process.exitCode = code ?? 1;
});
// Ctrl-C reaches the compiler as well: this process waits for it.
for (const signal of ['SIGINT', 'SIGTERM']) process.on(signal, () => child.kill(signal));
