import { readFileSync, readlinkSync } from 'node:fs';
import { basename } from 'node:path';

/** What is read to tell how this process was started; a test gives others. */
export interface Beginnings {
  env: Readonly<Record<string, string | undefined>>;
  ppid: number;
  /** A file below /proc, or the target of a link there; undefined where there is none. */
  read: (path: string) => string | undefined;
}

/**
 * Whether whoever started this process wanted it to outlive its terminal, as nohup does. Node sets SIGHUP back to its
 * default before any JavaScript runs, so that what it was cannot be asked for. What is left of nohup is read instead:
 * the shell's name for the command, an input that can only be written to, output in nohup.out, or a parent that ignores
 * SIGHUP itself.
 */
export function outlivesTerminal(
  { env, ppid, read }: Beginnings = { env: process.env, ppid: process.ppid, read: readProc },
): boolean {
  return (
    (env['_'] !== undefined && basename(env['_']) === 'nohup') ||
    (read('/proc/self/fd/0') === '/dev/null' && isWriteOnly(read('/proc/self/fdinfo/0'))) ||
    [1, 2].some((fd) => basename(read(`/proc/self/fd/${fd}`) ?? '') === 'nohup.out') ||
    ignoresHangup(read(`/proc/${ppid}/status`))
  );
}

/** Octal, with the access mode in the last two bits. */
const isWriteOnly = (fdinfo: string | undefined): boolean =>
  (parseInt(/^flags:\s*([0-7]+)/m.exec(fdinfo ?? '')?.[1] ?? '0', 8) & 3) === 1;

/** Hexadecimal, signal n as bit n − 1; SIGHUP is signal 1. */
const ignoresHangup = (status: string | undefined): boolean =>
  (parseInt(/^SigIgn:\s*[0-9a-f]*([0-9a-f])$/m.exec(status ?? '')?.[1] ?? '0', 16) & 1) === 1;

function readProc(path: string): string | undefined {
  try {
    return /\/fd\/\d+$/.test(path) ? readlinkSync(path) : readFileSync(path, 'utf8');
  } catch {
    return undefined;
  }
}
