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
  return () => lost;
}
