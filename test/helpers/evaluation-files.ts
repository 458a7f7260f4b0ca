// Files that `eam evaluate` reads and writes.
import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';

import { temporaryFolder } from './tiny-run.js';

export const lines = (path: string): unknown[] =>
  readFileSync(path, 'utf8')
    .trimEnd()
    .split('\n')
    .map((line) => JSON.parse(line) as unknown);

export function promptsOf(...content: string[]): string {
  const path = join(temporaryFolder(), content[0]?.startsWith('{') ? 'prompts.jsonl' : 'prompts.txt');
  writeFileSync(path, content.join('\n'));
  return path;
}
