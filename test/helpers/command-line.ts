import { vi } from 'vitest';

import { main } from '../../lib/cli/program.js';

/** Runs a command line within this process, and undoes every mock. */
export async function eam(...args: string[]): Promise<{ code: number; stdout: string; stderr: string }> {
  let stdout = '',
    stderr = '';
  vi.spyOn(process.stdout, 'write').mockImplementation((text) => ((stdout += String(text)), true));
  vi.spyOn(process.stderr, 'write').mockImplementation((text) => ((stderr += String(text)), true));
  const code = await main(args);
  vi.restoreAllMocks();
  return { code, stdout, stderr };
}
