import { CommanderError } from '@commander-js/extra-typings';

import { ConfigError, EamError, isError, suppressedBy } from '../errors.js';
import { createProgram } from './program.js';

/** Exit codes of every command. */
const ExitCode = { done: 0, failed: 1, usage: 2, interrupted: 130 } as const;

/** Runs one command line and returns its exit code; every error is printed as one message. */
export async function run(args: readonly string[]): Promise<number> {
  const interrupt = new AbortController();
  const onSignal = (name: NodeJS.Signals) => {
    // A second one means it.
    if (interrupt.signal.aborted) process.exit(ExitCode.interrupted);
    interrupt.abort(new EamError('ERR_EAM_INTERRUPTED', `interrupted by ${name}`));
  };
  process.on('SIGINT', onSignal).on('SIGTERM', onSignal);
  try {
    await createProgram(interrupt.signal).parseAsync(args, { from: 'user' });
    return ExitCode.done;
  } catch (error) {
    if (error instanceof CommanderError) return error.exitCode === 0 ? ExitCode.done : ExitCode.usage;
    const suppressed = suppressedBy(error);
    // With something suppressed there is no checkpoint to go on from.
    if (interrupt.signal.aborted && error === interrupt.signal.reason && suppressed.length === 0) {
      process.stderr.write(`${(error as Error).message}\n`);
      return ExitCode.interrupted;
    }
    for (const failure of [error, ...suppressed]) process.stderr.write(`error: ${describe(failure)}\n`);
    return error instanceof ConfigError ? ExitCode.usage : ExitCode.failed;
  } finally {
    process.off('SIGINT', onSignal).off('SIGTERM', onSignal);
  }
}

function describe(error: unknown): string {
  if (!isError(error)) return String(error);
  return process.env['EAM_DEBUG'] === '1' ? (error.stack ?? error.message) : error.message;
}
