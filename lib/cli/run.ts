import { CommanderError } from '@commander-js/extra-typings';

import { ConfigError, isError, StoppedError, suppressedBy } from '../errors.js';
import { Interruption } from './interruption.js';
import { createProgram } from './program.js';

/** Exit codes of every command. */
export const exitCode = { done: 0, failed: 1, usage: 2, stopped: 3, interrupted: 130 } as const;

/** Runs one command line and returns its exit code; every error is printed as one message. */
export async function run(args: readonly string[]): Promise<number> {
  const note = (line: string) => void (args.includes('--quiet') || process.stderr.write(`${line}\n`));
  using interruption = new Interruption(note, () => process.exit(exitCode.interrupted));
  try {
    const program = createProgram(interruption.signal).hook('preAction', (_, command) => {
      interruption.command = command.name();
    });
    await program.parseAsync(args, { from: 'user' });
    if (!interruption.fault) return exitCode.done;
    process.stderr.write(`error: ${describe(interruption.fault.error)}\n`);
    return exitCode.failed;
  } catch (error) {
    if (error instanceof CommanderError) return error.exitCode === 0 ? exitCode.done : exitCode.usage;
    const suppressed = suppressedBy(error);
    // With something suppressed there is no checkpoint to go on from.
    const asked = suppressed.length === 0 && askedCode(error, interruption);
    if (asked) {
      process.stderr.write(`${(error as Error).message}\n`);
      return asked;
    }
    for (const failure of [error, ...suppressed]) process.stderr.write(`error: ${describe(failure)}\n`);
    return error instanceof ConfigError ? exitCode.usage : exitCode.failed;
  }
}

/** The code of a command that ended as it was asked to. */
function askedCode(error: unknown, interruption: Interruption): number | undefined {
  if (interruption.isReason(error)) return exitCode.interrupted;
  return error instanceof StoppedError ? exitCode.stopped : undefined;
}

function describe(error: unknown): string {
  if (!isError(error)) return String(error);
  return process.env['EAM_DEBUG'] === '1' ? (error.stack ?? error.message) : error.message;
}
