// What the binaries ask of a system and show to it: of the addon that was built here, and of those that will be published.
import { createHash } from 'node:crypto';
import { execFileSync } from 'node:child_process';
import { existsSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterAll, describe, expect, it } from 'vitest';

import { addonFiles, type AddonDescription } from '../lib/native/addons.js';
import { inspect } from '../lib/native/loader.js';
import { inspectElf, problemsOf } from '../scripts/prebuild/elf.mjs';

const root = fileURLToPath(new URL('..', import.meta.url));
const prebuilds = join(root, 'prebuilds', 'linux-x64');
const { loaded, error } = inspect();
if (!loaded) throw new Error(error);

describe('the binaries built here', () => {
  it.each(addonFiles)('%s is fit to be published', (name) => expect(problemsOf(join(loaded.addon.directory, name))).toEqual([]));
});

describe('the check', () => {
  const folder = mkdtempSync(join(tmpdir(), 'eam-elf-'));
  afterAll(() => rmSync(folder, { recursive: true, force: true }));

  it('finds a path of this machine, symbols shown and kept, a stranger library, and a system that is too new', () => {
    const path = join(folder, 'bad.node');
    writeFileSync(join(folder, 'bad.c'), '#include <zlib.h>\nconst char* napi_register_module_v1(void) { return zlibVersion(); }\nint shown = 1;\n');
    writeFileSync(join(folder, 'zlib.h'), 'const char* zlibVersion(void);\n');
    writeFileSync(join(folder, 'z.c'), 'const char* zlibVersion(void) { return "0"; }\n');
    execFileSync('cc', ['-shared', '-fPIC', '-o', join(folder, 'libstranger.so'), join(folder, 'z.c')]);
    execFileSync('cc', ['-shared', '-fPIC', '-g', `-I${folder}`, '-o', path, join(folder, 'bad.c'), `-L${folder}`, '-lstranger', '-Wl,-rpath,/home/builder']);
    const problems = problemsOf(path).join('\n');
    for (const problem of ['not stripped', 'names folders of the machine it was built on: /home/builder', 'exports more than Node looks for: shown', 'needs libstranger.so']) expect(problems).toContain(problem);
    expect(problemsOf(process.execPath).join('\n')).toContain('does not export napi_register_module_v1');
  });
});

// `npm run prebuild` makes these; a clone has none.
describe.each(existsSync(prebuilds) ? readdirSync(prebuilds) : [])('%s', (name) => {
  const directory = join(prebuilds, name);
  const { variant, libtorch, cuda, architectures, prebuilt } = JSON.parse(readFileSync(join(directory, 'eam_torch.json'), 'utf8')) as AddonDescription;

  it('says what it is', () => {
    expect(name).toBe(`libtorch-${libtorch.split('.').slice(0, 2).join('.')}-${variant}`);
    expect(prebuilt?.platform).toBe('linux-x64');
    expect(prebuilt?.revision).toMatch(/^[0-9a-f]{40}(-modified)?$/);
    if (variant === 'cuda') {
      expect(cuda).toMatch(/^\d+\.\d+$/);
      expect(architectures).toEqual(expect.arrayContaining(['90-real']));
    }
  });

  it.each(addonFiles)('has a %s that is fit to be published and is what its description says', (file) => {
    const path = join(directory, file);
    expect(problemsOf(path)).toEqual([]);
    expect(prebuilt?.sha256[file]).toBe(createHash('sha256').update(readFileSync(path)).digest('hex'));
    const { bytes, floors } = inspectElf(path);
    expect(prebuilt?.bytes[file]).toBe(bytes);
    for (const [set, version] of Object.entries(floors)) expect((prebuilt?.floors[set] ?? '').localeCompare(version, 'en', { numeric: true })).toBeGreaterThanOrEqual(0);
  });
});
