// Lists every line that is longer than .editorconfig allows. Formatters wrap code, not comments, strings and prose. A
// row of a Markdown table, an image and what a link's definition names cannot be wrapped.

import { readFileSync } from 'node:fs';
import { extname, join } from 'node:path';

import { root, sourceFiles } from './source-files.mjs';

const checked = /\.(?:ts|mts|js|mjs|json|css|c|cpp|cu|h|cuh|inc|py|cmake|gyp|yml|sh|md)$|CMakeLists\.txt$|^\.ci\//;
// What was written by a program, or is somebody else's text.
const passedOver = new RegExp(
  '^(?:package-lock\\.json|THIRD_PARTY_NOTICES\\.md|' +
    '(?:test/(?:fixtures|vectors)|schemas)/.*\\.json|assets/digits.*\\.json)$',
);

/** The numbers, from 1, and lengths of the lines in `text` that are longer than `limit`. */
export function longLines(path, text, limit) {
  const markdown = extname(path) === '.md';
  let inCode = !markdown;
  const isWhole = (line) => !inCode && /^\s*(?:\||!?\[[^\]]*\](?:\(|:))/.test(line);
  const found = [];
  for (const [index, line] of text.split('\n').entries()) {
    if (markdown && /^\s*```/.test(line)) inCode = !inCode;
    else if (!isWhole(line) && [...line].length > limit) found.push({ line: index + 1, length: [...line].length });
  }
  return found;
}

if (process.argv[1] === import.meta.filename) {
  const read = (path) => readFileSync(join(root, path), 'utf8');
  const limit = Number(/^max_line_length = (\d+)$/m.exec(read('.editorconfig'))[1]);
  for (const path of sourceFiles().filter((file) => checked.test(file) && !passedOver.test(file))) {
    for (const { line, length } of longLines(path, read(path), limit)) {
      console.log(`${path}:${line}: ${length} columns, expected at most ${limit}`);
      process.exitCode = 1;
    }
  }
}
