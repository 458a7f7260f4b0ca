// Folders of small images with their labels.jsonl.
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';

import { encode } from 'fast-png';

import { temporaryFolder } from './tiny-run.js';

/** Images of `size` × `size` pixels, each of one colour, with the label or the caption that `label` gives. */
export function labelledImages(label: (number: number) => object, channels: 1 | 3 = 3, size = 16, count = 6): string {
  const folder = temporaryFolder();
  const lines = Array.from({ length: count }, (_, number) => {
    const length = channels * size * size;
    const data = new Uint8Array(length).map((_, at) => (at % channels === number % 3 ? 200 + 5 * number : 20));
    writeFileSync(join(folder, `${number}.png`), encode({ width: size, height: size, channels, depth: 8, data }));
    return JSON.stringify({ file: `${number}.png`, ...label(number) });
  });
  writeFileSync(join(folder, 'labels.jsonl'), lines.join('\n'));
  return folder;
}
