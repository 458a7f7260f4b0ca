import { spawn } from 'node:child_process';
import { createWriteStream, mkdirSync, readFileSync } from 'node:fs';
import { dirname } from 'node:path';

import { EamError } from '../../errors.js';

/** A step of the build failed; the message ends with the last lines of its log. */
export class BuildError extends EamError {
  constructor(message: string, options?: ErrorOptions) {
    super('ERR_EAM_BUILD', message, options);
  }
}

/** The last lines of a log, indented for a message. */
export function tail(logFile: string, lines = 40): string {
  const text = readFileSync(logFile, 'utf8').trimEnd().split('\n');
  return text
    .slice(-lines)
    .map((line) => `  | ${line}`)
    .join('\n');
}

/**
 * Runs a command with its output in a log. On a terminal, the compiler's `[n/m]` counter is shown as it goes.
 * Throws BuildError with the end of the log where the command fails or cannot be started.
 */
export async function runCommand(
  command: string,
  args: readonly string[],
  options: { logFile: string; cwd?: string; env?: NodeJS.ProcessEnv },
): Promise<void> {
  mkdirSync(dirname(options.logFile), { recursive: true });
  const log = createWriteStream(options.logFile, { flags: 'a' });
  log.write(`$ ${[command, ...args].join(' ')}\n`);
  const child = spawn(command, args, {
    cwd: options.cwd,
    env: options.env ?? process.env,
    stdio: ['ignore', 'pipe', 'pipe'],
  });
  let counted = false;
  for (const stream of [child.stdout, child.stderr]) {
    stream.on('data', (chunk: Buffer) => {
      log.write(chunk);
      const count = process.stdout.isTTY ? /\[\s*(\d+\/\d+|\d+%)\][^[]*$/.exec(chunk.toString())?.[1] : undefined;
      if (count) {
        process.stdout.write(`\r  ${count} `);
        counted = true;
      }
    });
  }
  const failure = await new Promise<string | undefined>((resolve) => {
    child.once('error', (error) => resolve(error.message));
    child.once('close', (code, signal) =>
      resolve(code === 0 ? undefined : signal ? `signal ${signal}` : `exit code ${code}`),
    );
  });
  await new Promise<void>((resolve) => log.end(resolve));
  if (counted) process.stdout.write('\r            \r');
  if (failure) {
    throw new BuildError(`${command} failed (${failure}). The end of ${options.logFile}:\n${tail(options.logFile)}`);
  }
}
