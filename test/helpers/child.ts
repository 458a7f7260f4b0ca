// Node processes of their own, for tests about how a process ends. They import the compiled package from dist/, or the
// one that EAM_TEST_PACKAGE names; EAM_TEST_NODE names another Node to run them.
import { spawn } from 'node:child_process';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath, pathToFileURL } from 'node:url';

const dist = join(process.env['EAM_TEST_PACKAGE'] || fileURLToPath(new URL('../..', import.meta.url)), 'dist');
const node = process.env['EAM_TEST_NODE'] || process.execPath;

/** An import specifier for a compiled module of the package, quoted. */
export function compiled(name: string): string {
  return JSON.stringify(pathToFileURL(join(dist, name)).href);
}

/** The text keeps each of `count` processes that are given it from going on before all have come to it. */
export function startTogether(count: number): string {
  const folder = mkdtempSync(join(tmpdir(), 'eam-together-'));
  process.once('exit', () => rmSync(folder, { recursive: true }));
  return `{
    const { readdirSync, writeFileSync } = await import('node:fs');
    writeFileSync(${JSON.stringify(folder)} + '/' + process.pid, '');
    while (readdirSync(${JSON.stringify(folder)}).length < ${count});
  }`;
}

export interface Ended {
  code: number | null;
  signal: NodeJS.Signals | null;
  stdout: string;
  stderr: string;
}

/**
 * Runs an ES module given as text. Killed, with signal SIGKILL, after `timeout` milliseconds; sent SIGINT once it
 * printed `interrupt`.
 */
export function runNode(
  script: string,
  { env = process.env, timeout = 900_000, args = [] as string[], interrupt = undefined as string | undefined } = {},
): Promise<Ended> {
  return new Promise((resolve, reject) => {
    const child = spawn(node, [...args, '--input-type=module', '--eval', script], {
      env,
      stdio: ['ignore', 'pipe', 'pipe'],
    });
    const timer = setTimeout(() => child.kill('SIGKILL'), timeout);
    let stdout = '';
    let stderr = '';
    child.stdout.on('data', (chunk) => {
      const before = interrupt !== undefined && stdout.includes(interrupt);
      stdout += String(chunk);
      if (interrupt !== undefined && !before && stdout.includes(interrupt)) child.kill('SIGINT');
    });
    child.stderr.on('data', (chunk) => (stderr += String(chunk)));
    child.on('error', reject);
    child.on('close', (code, signal) => {
      clearTimeout(timer);
      resolve({ code, signal, stdout, stderr });
    });
  });
}
