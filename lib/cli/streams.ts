import { closeSync, fstatSync, openSync } from 'node:fs';
import { isatty } from 'node:tty';

/** What writing fails with where nobody reads any more: a closed pipe, a terminal or a connection that is gone. */
const unread = new Set(['EPIPE', 'EIO', 'ENXIO', 'EBADF', 'ECONNRESET', 'ENOTCONN', 'ERR_STREAM_DESTROYED']);

/**
 * Lets a command go on where its output cannot be written: hours of work are worth more than a line of it.
 * @returns tells, at the end, what kept results from being written, such as a full disk; undefined where nothing did,
 *   or nobody was reading, such as `head` that has seen enough
 */
export function surviveDeadStreams(): () => Error | undefined {
  let lost: NodeJS.ErrnoException | undefined;
  process.stdout.on('error', (error: NodeJS.ErrnoException) => {
    if (!unread.has(error.code ?? '')) lost ??= error;
  });
  // Where stderr cannot be written, nobody can be told.
  process.stderr.on('error', () => {});
  process.once('exit', leaveDeadTerminal);
  return () => lost;
}

/**
 * Opens /dev/null in place of a terminal that is gone. Node sets a terminal back to what it was at the start when the
 * process ends, and aborts with SIGABRT where that fails for another reason than EPERM (`ResetStdio` in its
 * src/node.cc); a descriptor that is another file by then it leaves alone.
 */
function leaveDeadTerminal(): void {
  for (const descriptor of [0, 1, 2]) {
    try {
      if (!fstatSync(descriptor).isCharacterDevice() || isatty(descriptor)) continue;
      closeSync(descriptor);
      // The lowest that is free, which is this one.
      openSync('/dev/null', 'r+');
    } catch {
      // A descriptor that is closed needs nothing.
    }
  }
}
