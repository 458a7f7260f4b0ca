import { vi } from 'vitest';

import { run } from '../../lib/cli/run.js';

/** Runs a command line within this process, and undoes every mock. */
export async function eam(...args: string[]): Promise<{ code: number; stdout: string; stderr: string }> {
  const written = { stdout: '', stderr: '' };
  for (const stream of ['stdout', 'stderr'] as const) {
    vi.spyOn(process[stream], 'write').mockImplementation((text) => {
      written[stream] += String(text);
      return true;
    });
  }
  const code = await run(args);
  vi.restoreAllMocks();
  return { code, ...written };
}
