/** Whether a process of this machine is there: another user's counts, and one that has ended and was not waited for. */
export function isAlive(pid: number): boolean {
  try {
    process.kill(pid, 0);
    return true;
  } catch (error) {
    // The process is another user's, so that it is alive.
    return (error as NodeJS.ErrnoException).code === 'EPERM';
  }
}
