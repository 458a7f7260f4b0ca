// Every file that a document or a comment names is there.
import { spawnSync } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';

import { describe, expect, it } from 'vitest';

const root = fileURLToPath(new URL('../..', import.meta.url));
const { stdout } = spawnSync('git', ['ls-files', '--cached', '--others', '--exclude-standard'], {
  cwd: root,
  encoding: 'utf8',
  maxBuffer: 2 ** 26,
});
const files = stdout.split('\n').filter(Boolean);
const there = new Set(files.flatMap((file) => [file, ...foldersOf(file)]));

function foldersOf(file: string): string[] {
  const folder = dirname(file);
  return folder === '.' ? [] : [folder, ...foldersOf(folder)];
}

const rooms = 'native|lib|test|docs|scripts|benchmarks|configs|assets|examples|cmake';
const named = new RegExp(String.raw`(?<![\w./$}-])(?:${rooms})/(?:[\w.@*-]+/)*[\w.@*-]*(?:\{[\w,.]+\})?[\w.*-]*`, 'g');

/** `a.{h,cpp}` is a.h and a.cpp. */
function alternatives(path: string): string[] {
  const [, before, inner, after] = /^(.*)\{([^}]*)\}(.*)$/.exec(path) ?? [];
  return inner === undefined ? [path] : inner.split(',').map((part) => before + part + after);
}

function isThere(path: string): boolean {
  if (!path.includes('*')) return there.has(path);
  const pattern = path.split('*').map((part) => part.replace(/[.+?^${}()|[\]\\]/g, '\\$&'));
  const matches = new RegExp(`^${pattern.join('[^/]*')}$`);
  return [...there].some((file) => matches.test(file));
}

/** What `text` names and is not there. NAME stands for a name of the reader's, step-N and sample-N are of a run. */
function missingIn(text: string): string[] {
  return [...text.matchAll(named)]
    .map(([path]) => path.replace(/[.,:/-]+$/, ''))
    .filter((path) => !/NAME|TIME|^docs\/site|step-|sample-N/.test(path))
    .flatMap(alternatives)
    .filter((path) => !isThere(path));
}

const comment = /^\s*(?:\/\/|\/\*|\*|#(?!include))/;
const written = files.filter((file) => file.endsWith('.md') && !/^THIRD_PARTY|^CHANGELOG/.test(file));
const commented = files.filter((file) => /\.(?:ts|mjs|js|c|cpp|cu|h|cuh|inc|cmake|py)$|CMakeLists\.txt$/.test(file));

describe('the check of paths', () => {
  it.each(written)('finds every path that %s names', (file) => {
    const text = readFileSync(join(root, file), 'utf8');
    const code = [...text.matchAll(/`([^`\n]+)`/g)].map(([, inline]) => inline).join('\n');
    expect(missingIn(code)).toEqual([]);
  });

  it('finds every path that comments name', () => {
    const missing = commented.flatMap((file) => {
      const lines = readFileSync(join(root, file), 'utf8').split('\n');
      return missingIn(lines.filter((line) => comment.test(line)).join('\n')).map((path) => `${file}: ${path}`);
    });
    expect(missing).toEqual([]);
  });

  it('reports paths that do not exist', () => {
    expect(missingIn('see lib/nowhere.ts and lib/errors.ts')).toEqual(['lib/nowhere.ts']);
    expect(missingIn('native/kernels/affine.{h,xyz}, native/*/affine.cu')).toEqual(['native/kernels/affine.xyz']);
  });
});
