// A command in a terminal of its own, at which somebody types.
import { spawnSync } from 'node:child_process';

/** Whether a test can have a terminal. */
export const hasTerminals = spawnSync('python3', ['-c', 'import pty; pty.openpty()']).status === 0;

/**
 * Types each text once what comes before it is shown, prints all that was shown, and exits as the command did. Where
 * the command shows nothing more, for as long as no busy machine takes, what is waited for never comes: 124.
 */
const typist = `
import json, os, pty, select, signal, sys
steps = [(after.encode(), text.encode()) for after, text in json.loads(os.environ.pop('TYPED'))]
pid, master = pty.fork()
if pid == 0:
    os.execvp(sys.argv[1], sys.argv[1:])
shown, at = b'', 0
while True:
    while steps and steps[0][0] in shown[at:]:
        after, text = steps.pop(0)
        at = shown.index(after, at) + len(after)
        os.write(master, text)
    if not select.select([master], [], [], 300)[0]:
        os.kill(pid, signal.SIGKILL)
        missing = b'\\n(then nothing for 300 s; expected: %r)' % [after for after, _ in steps]
        sys.stdout.buffer.write(shown + missing)
        sys.exit(124)
    try:
        read = os.read(master, 65536)
    except OSError:
        # Nobody has the terminal open any more.
        break
    if not read:
        break
    shown += read
_, status = os.waitpid(pid, 0)
sys.stdout.buffer.write(shown)
sys.exit(os.WEXITSTATUS(status) if os.WIFEXITED(status) else 128 + os.WTERMSIG(status))
`;

/** @param typed pairs of what is waited for, and what is typed then */
export function type(
  command: readonly string[],
  typed: readonly (readonly [after: string, text: string])[],
  { cwd, env = {} }: { cwd: string; env?: Record<string, string> },
): { code: number | null; shown: string } {
  const { status, stdout } = spawnSync('python3', ['-c', typist, ...command], {
    cwd,
    env: { ...process.env, TERM: 'dumb', ...env, TYPED: JSON.stringify(typed) },
    encoding: 'utf8',
  });
  return { code: status, shown: stdout };
}
