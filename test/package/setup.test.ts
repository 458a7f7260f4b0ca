import { spawnSync } from 'node:child_process';
import { chmodSync, cpSync, existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';

import { buildNative } from '../../lib/jobs/build/native-build.js';

const root = fileURLToPath(new URL('../..', import.meta.url));

describe('set-up', () => {
  it('does nothing where everything is up to date', () => {
    const result = spawnSync(process.execPath, [join(root, 'scripts', 'setup.mjs')], { encoding: 'utf8' });
    expect(result.stderr).toBe('');
    expect(result.stdout).toMatch(/^setup: ready \([\d.]+ s\)\n$/);
    expect(result.status).toBe(0);
  });
});

describe("a native build and the environment's compiler", () => {
  afterEach(() => vi.unstubAllEnvs());

  it.each([
    { name: 'EAM_LIBSTDCXX', file: 'libstdc++.so.6', key: 'libstdcxx' },
    { name: 'CXX', file: 'g++', key: 'compiler' },
  ])('that is up to date is made anew where $name is another, and hands it on', async ({ name, file: other, key }) => {
    const folder = mkdtempSync(join(tmpdir(), 'eam-setup-'));
    const tools = mkdtempSync(join(tmpdir(), 'eam-setup-'));
    const value = join(tools, other);
    // A compiler that passes for one before the build and then compiles nothing; the library is not there.
    const compiler = '#!/bin/sh\ncase "$1" in --version | -std=c++20) exec g++ "$@" ;; esac\nexit 1\n';
    if (key === 'compiler') writeFileSync(value, compiler, { mode: 0o755 });
    const stamp = join(folder, 'eam_build.json');
    const built = join(root, 'build', 'cpu');
    cpSync(join(built, 'eam_build.json'), stamp);
    for (const file of ['eam_torch.node', 'eam_loader.node', 'eam_torch.json']) writeFileSync(join(folder, file), '');
    const options = { variant: 'cpu', output: folder, report: () => {} } as const;
    expect((await buildNative(options)).built).toBe(false);
    vi.stubEnv(name, value);
    const message = await buildNative(options).catch((error: Error) => error.message);
    expect(message).toContain(value);
    expect(existsSync(join(folder, 'eam_torch.node'))).toBe(false);
    expect(JSON.parse(readFileSync(stamp, 'utf8'))).toMatchObject({ configuration: { [key]: value } });
    for (const each of [folder, tools]) rmSync(each, { recursive: true, force: true });
  });
});

describe('a native build without its tools', () => {
  let folder: string;
  beforeEach(() => {
    folder = mkdtempSync(join(tmpdir(), 'eam-setup-'));
    writeFileSync(join(folder, 'apt-get'), '#!/bin/sh\n');
    chmodSync(join(folder, 'apt-get'), 0o755);
    vi.stubEnv('PATH', folder);
    for (const name of ['EAM_TORCH_LIBTORCH', 'LIBTORCH', 'VIRTUAL_ENV', 'CONDA_PREFIX']) vi.stubEnv(name, '');
    vi.stubEnv('XDG_CACHE_HOME', folder);
  });
  afterEach(() => {
    vi.unstubAllEnvs();
    rmSync(folder, { recursive: true, force: true });
  });
  const build = (libtorch?: string) =>
    buildNative({ variant: 'cpu', output: join(folder, 'build'), report: () => {}, ...(libtorch ? { libtorch } : {}) });

  it('names them all, python3 too where a LibTorch must be fetched', async () => {
    await expect(build()).rejects.toThrow(/apt-get install -y g\+\+ cmake ninja-build python3 python3-pip/);
  });

  it('does not ask for python3 where a LibTorch is there', async () => {
    const { configuration } = JSON.parse(readFileSync(join(root, 'build', 'cpu', 'eam_build.json'), 'utf8')) as {
      configuration: { libtorch: string };
    };
    const message = await build(configuration.libtorch).catch((error: Error) => error.message);
    expect(message).toMatch(/apt-get install -y g\+\+ cmake ninja-build$/);
    expect(message).not.toContain('python3');
  });
});
