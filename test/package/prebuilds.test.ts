// What the binaries ask of a system and show to it: of the addon that was built here, and of those that will be
// published.
import { createHash } from 'node:crypto';
import { execFileSync, spawnSync } from 'node:child_process';
import { cpSync, existsSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterAll, describe, expect, it } from 'vitest';

import { addonFiles, type AddonDescription } from '../../lib/runtime/native/addons.js';
import { inspect } from '../../lib/runtime/native/loader.js';
import { inspectElf, problemsOf } from '../../scripts/prebuild/elf.mjs';
import { files, missingFrom, published } from '../../scripts/prebuild/published.mjs';

const root = fileURLToPath(new URL('../..', import.meta.url));
const prebuilds = join(root, 'prebuilds', 'linux-x64');
const { loaded, error } = inspect();
if (!loaded) throw new Error(error);

describe('a binary built here', () => {
  // They are for this system, whatever its age; what is published must serve older ones, too.
  it.each(addonFiles)('is fit to be used here: %s', (name) =>
    expect(problemsOf(join(loaded.addon.directory, name)).filter((problem) => !/newer than/.test(problem))).toEqual([]),
  );
});

describe('the check of a binary', () => {
  const folder = mkdtempSync(join(tmpdir(), 'eam-elf-'));
  afterAll(() => rmSync(folder, { recursive: true, force: true }));

  it('finds a path of this machine, symbols shown and kept, a stranger library, and a system that is too new', () => {
    const path = join(folder, 'bad.node');
    writeFileSync(
      join(folder, 'bad.c'),
      '#include <zlib.h>\nconst char* napi_register_module_v1(void) { return zlibVersion(); }\nint shown = 1;\n',
    );
    writeFileSync(join(folder, 'zlib.h'), 'const char* zlibVersion(void);\n');
    writeFileSync(join(folder, 'z.c'), 'const char* zlibVersion(void) { return "0"; }\n');
    execFileSync('cc', ['-shared', '-fPIC', '-o', join(folder, 'libstranger.so'), join(folder, 'z.c')]);
    execFileSync('cc', [
      '-shared',
      '-fPIC',
      '-g',
      `-I${folder}`,
      '-o',
      path,
      join(folder, 'bad.c'),
      `-L${folder}`,
      '-lstranger',
      '-Wl,-rpath,/home/builder',
    ]);
    const problems = problemsOf(path).join('\n');
    for (const problem of [
      'not stripped',
      'names folders of the machine it was built on: /home/builder',
      'exports more than Node looks for: shown',
      'needs libstranger.so',
    ])
      expect(problems).toContain(problem);
    expect(problemsOf(process.execPath).join('\n')).toContain('does not export napi_register_module_v1');
  });
});

describe('the check before npm publishes', () => {
  const folder = mkdtempSync(join(tmpdir(), 'eam-publish-'));
  afterAll(() => rmSync(folder, { recursive: true, force: true }));
  const revision = 'a'.repeat(40);
  let count = 0;

  /** Folders as prebuild leaves them, with what a test breaks in them. */
  function prebuildsWith(change: (directory: string) => void = () => {}, from = revision): string {
    const directory = join(folder, String(++count));
    for (const [name, { variant }] of Object.entries(published)) {
      mkdirSync(join(directory, name), { recursive: true });
      for (const file of files) writeFileSync(join(directory, name, file), `${name} ${file}`);
      const sha256 = Object.fromEntries(
        files.map((file) => [file, createHash('sha256').update(`${name} ${file}`).digest('hex')]),
      );
      writeFileSync(
        join(directory, name, 'eam_torch.json'),
        JSON.stringify({ variant, prebuilt: { revision: from, sha256 } }),
      );
    }
    change(directory);
    return directory;
  }

  it('passes all three variants, compiled from the commit', () => {
    expect(Object.keys(published)).toEqual(['libtorch-2.13-cpu', 'libtorch-2.14-cpu', 'libtorch-2.14-cuda']);
    expect(missingFrom(prebuildsWith(), revision)).toEqual([]);
  });

  it.each<{ what: string; change: (directory: string) => void; problems: string[] }>([
    {
      what: 'nothing at all',
      change: (directory) => rmSync(directory, { recursive: true }),
      problems: Object.keys(published).map((name) => `${name}: it was not built`),
    },
    {
      what: 'a variant too few',
      change: (directory) => rmSync(join(directory, 'libtorch-2.14-cuda'), { recursive: true }),
      problems: ['libtorch-2.14-cuda: it was not built'],
    },
    {
      what: 'a binary too few',
      change: (directory) => rmSync(join(directory, 'libtorch-2.14-cpu', 'eam_loader.node')),
      problems: ['libtorch-2.14-cpu: eam_loader.node is missing'],
    },
    {
      what: 'another binary',
      change: (directory) => writeFileSync(join(directory, 'libtorch-2.13-cpu', 'eam_torch.node'), ''),
      problems: ['libtorch-2.13-cpu: eam_torch.node is not the one that its eam_torch.json describes'],
    },
    {
      what: 'a folder of another name',
      change: (directory) => mkdirSync(join(directory, 'libtorch-2.12-cpu')),
      problems: ['libtorch-2.12-cpu is not among what is published'],
    },
    {
      what: 'one variant in the place of another',
      change: (directory) =>
        cpSync(join(directory, 'libtorch-2.14-cpu'), join(directory, 'libtorch-2.14-cuda'), { recursive: true }),
      problems: ['libtorch-2.14-cuda: it is of the variant cpu'],
    },
  ])('refuses $what', ({ change, problems }) => expect(missingFrom(prebuildsWith(change), revision)).toEqual(problems));

  it.each([`${revision}-modified`, 'b'.repeat(40)])('refuses binaries compiled from %s', (from) => {
    expect(missingFrom(prebuildsWith(undefined, from), revision)).toEqual(
      Object.keys(published).map((name) => `${name}: it was compiled from ${from}, not from ${revision}`),
    );
  });

  it('runs from npm, and ends with 1 where something is missing', () => {
    const { scripts } = JSON.parse(readFileSync(join(root, 'package.json'), 'utf8')) as {
      scripts: Record<string, string>;
    };
    expect(scripts['prepublishOnly']).toBe('node scripts/prebuild/complete.mjs');
    // A clone with one file that was not committed, and no binaries.
    const clone = join(folder, 'clone');
    mkdirSync(join(clone, 'scripts', 'prebuild'), { recursive: true });
    for (const name of ['git.mjs', 'prebuild/complete.mjs', 'prebuild/published.mjs'])
      cpSync(join(root, 'scripts', name), join(clone, 'scripts', name));
    const git = (...args: string[]) =>
      execFileSync('git', ['-c', 'user.name=a', '-c', 'user.email=a@b', ...args], {
        cwd: clone,
        encoding: 'utf8',
      }).trim();
    git('init', '-q');
    git('add', '.');
    git('commit', '-qm', 'all');
    const run = () =>
      spawnSync(process.execPath, [join(clone, 'scripts', 'prebuild', 'complete.mjs')], { encoding: 'utf8' });
    const bare = run();
    expect({ status: bare.status, said: bare.stderr }).toEqual({
      status: 1,
      said: expect.stringContaining('libtorch-2.14-cuda: it was not built') as string,
    });
    cpSync(prebuildsWith(undefined, git('rev-parse', 'HEAD')), join(clone, 'prebuilds', 'linux-x64'), {
      recursive: true,
    });
    writeFileSync(join(clone, '.git', 'info', 'exclude'), '/prebuilds/\n');
    expect(run()).toMatchObject({ status: 0, stderr: '' });
    writeFileSync(join(clone, 'new.txt'), '');
    expect(run()).toMatchObject({
      status: 1,
      stderr: expect.stringMatching(/not what was committed:\n\?\? new.txt/) as string,
    });
  });
});

// `npm run prebuild` makes these; a clone has none.
describe.each(existsSync(prebuilds) ? readdirSync(prebuilds) : [])('the published binary %s', (name) => {
  const directory = join(prebuilds, name);
  const { variant, libtorch, cuda, architectures, prebuilt } = JSON.parse(
    readFileSync(join(directory, 'eam_torch.json'), 'utf8'),
  ) as AddonDescription;

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
    for (const [set, version] of Object.entries(floors))
      expect((prebuilt?.floors[set] ?? '').localeCompare(version, 'en', { numeric: true })).toBeGreaterThanOrEqual(0);
  });
});
