// Everything that tests write to the temporary folder goes into one that is removed when they are done.
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

export default function setUp(): () => void {
  const folder = mkdtempSync(join(tmpdir(), 'eam-tests-'));
  process.env['TMPDIR'] = folder;
  return () => {
    try {
      rmSync(folder, { recursive: true, force: true });
    } catch {
      // A folder that may not be written to, or one that is still mounted: it stays, and fails no test.
    }
  };
}
