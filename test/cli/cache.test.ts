import { existsSync, mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';

import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';

import { eam } from '../helpers/command-line.js';
import { temporaryFolder } from '../helpers/tiny-run.js';

let cache: string;
beforeEach(() => {
  const home = temporaryFolder();
  vi.stubEnv('XDG_CACHE_HOME', home);
  cache = join(home, 'eam-torch');
});
afterEach(() => void vi.unstubAllEnvs());

function put(name: string, bytes: number): void {
  mkdirSync(join(cache, name, '..'), { recursive: true });
  writeFileSync(join(cache, name), new Uint8Array(bytes));
}

describe('eam cache', () => {
  it('says where the cache is and what it holds', async () => {
    expect((await eam('cache')).stdout).toBe(`${cache} is empty\n`);
    put('text-embeddings/a.safetensors', 2 ** 20);
    put('text-embeddings/b.safetensors', 2 ** 19);
    put('libtorch-1-cpu/torch/lib/libtorch.so', 100);
    const { code, stdout } = await eam('cache');
    expect(code).toBe(0);
    const [first, ...rows] = stdout.trimEnd().split('\n');
    expect(first).toBe(cache);
    expect(rows).toEqual([
      expect.stringMatching(/^ {2}libtorch-1-cpu +0\.0 MiB +1 files$/),
      expect.stringMatching(/^ {2}text-embeddings +1\.5 MiB +2 files {2}of prompts; computed again/),
    ]);
    expect(JSON.parse((await eam('cache', '--json')).stdout)).toEqual({
      directory: cache,
      entries: [
        { name: 'libtorch-1-cpu', files: 1, bytes: 100 },
        { name: 'text-embeddings', files: 2, bytes: 1.5 * 2 ** 20 },
      ],
    });
  });

  it('removes text embeddings and endpoints, and nothing else', async () => {
    put('text-embeddings/a.safetensors', 2 ** 19);
    // What a killed process was writing.
    put('text-embeddings/b.safetensors.tmp-7-0', 2 ** 19);
    put('endpoints/a/endpoints.safetensors', 2 ** 20);
    put('loaded/x.json', 2);
    const { code, stdout } = await eam('cache', '--clear');
    expect([code, stdout]).toEqual([
      0,
      expect.stringMatching(/^removed 3 files of text embeddings and endpoints, 2\.0 MiB\n/),
    ]);
    const left = ['text-embeddings', 'endpoints', 'loaded/x.json'].map((name) => existsSync(join(cache, name)));
    expect(left).toEqual([false, false, true]);
    expect((await eam('cache', '--clear', '--json')).stdout).toContain('"removed": {\n    "files": 0');
  });
});
