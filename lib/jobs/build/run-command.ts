import { spawn } from 'node:child_process';
import { createWriteStream } from 'node:fs';
import { dirname } from 'node:path';

import { EamError } from '../../errors.js';
import { makeDirectory } from '../../runtime/make-directory.js';

/** A step of the build failed; the message ends with the last lines of its log. */
export class BuildError extends EamError {
  constructor(message: string, options?: ErrorOptions) {
    super('ERR_EAM_BUILD', message, options);
  }
}

/** The last lines of an output, indented for a message. */
const tail = (output: string): string =>
  output
    .trimEnd()
    .split('\n')
    .slice(-40)
    .map((line) => `  | ${line}`)
    .join('\n');

/** Characters of its end that are kept for a message: the log itself may be on the disk that is full. */
const keptOutput = 16_384;

/**
 * Runs a command with its output in a log, and hands the output to `onOutput` as it comes.
 * Throws BuildError with the end of the log where the command fails or cannot be started.
 */
export async function runCommand(
  command: string,
  args: readonly string[],
  options: { logFile: string; cwd?: string; env?: NodeJS.ProcessEnv; onOutput?: (text: string) => void },
): Promise<void> {
  makeDirectory(dirname(options.logFile));
  const log = createWriteStream(options.logFile, { flags: 'a' });
  let unwritten = false;
  log.on('error', () => {
    unwritten = true;
  });
  log.write(`$ ${[command, ...args].join(' ')}\n`);
  const child = spawn(command, args, {
    cwd: options.cwd,
    env: options.env ?? process.env,
    stdio: ['ignore', 'pipe', 'pipe'],
  });
  let output = '';
  for (const stream of [child.stdout, child.stderr]) {
    stream.on('data', (chunk: Buffer) => {
      const text = chunk.toString();
      if (!unwritten) log.write(chunk);
      output = (output + text).slice(-keptOutput);
      options.onOutput?.(text);
    });
  }
  const failure = await new Promise<string | undefined>((resolve) => {
    child.once('error', (error) => resolve(error.message));
    child.once('close', (code, signal) =>
      resolve(code === 0 ? undefined : signal ? `signal ${signal}` : `exit code ${code}`),
    );
  });
  if (!unwritten) await new Promise<void>((resolve) => log.end(() => resolve()));
  if (failure) {
    throw new BuildError(`${command} failed (${failure}). The end of ${options.logFile}:\n${tail(output)}`);
  }
}
