import { execFileSync, spawnSync } from 'node:child_process';
import { copyFileSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';

import type { Diagnosis } from '../../lib/jobs/build/diagnosis.js';

const root = fileURLToPath(new URL('../..', import.meta.url));
const built = join(root, 'build', 'cpu');

function doctor(args: string[], env: NodeJS.ProcessEnv = {}) {
  const main = join(root, 'dist', 'cli', 'main.js');
  return spawnSync(process.execPath, [main, 'doctor', ...args], {
    encoding: 'utf8',
    env: { ...process.env, EAM_TORCH_VARIANT: 'cpu', ...env },
  });
}

describe('eam doctor', () => {
  let folder: string;
  beforeAll(() => {
    folder = mkdtempSync(join(tmpdir(), 'eam-doctor-'));
  });
  afterAll(() => rmSync(folder, { recursive: true, force: true }));

  it('finds a working set-up usable', () => {
    const result = doctor(['--json']);
    expect(result.status).toBe(0);
    const diagnosis = JSON.parse(result.stdout) as Diagnosis;
    expect(diagnosis.usable).toBe(true);
    expect(diagnosis.node).toBe(process.versions.node);
    expect(diagnosis.native.loaded?.addon.directory).toBe(built);
    expect(diagnosis.addon?.libtorch).toMatch(/^2\.1[1-4]\./);
    expect(diagnosis.addon?.threads).toBeGreaterThan(0);
    expect(diagnosis.tools.map((tool) => tool.name)).toEqual(['compiler', 'cmake', 'make', 'python', 'nvcc']);
  });

  it('prints what it found for people', () => {
    const { stdout } = doctor([]);
    for (const part of [process.versions.node, 'SIMD', 'in use', 'Loaded the cpu addon'])
      expect(stdout).toContain(part);
  });

  it('fails and says what to do where the LibTorch asked for is not there', () => {
    const { status, stdout, stderr } = doctor([], { EAM_TORCH_LIBTORCH: join(folder, 'nowhere') });
    expect(status).toBe(1);
    expect(stdout).toContain(`EAM_TORCH_LIBTORCH, ${join(folder, 'nowhere')}: the folder does not exist`);
    expect(stdout).toContain('npx eam build');
    expect(stderr).toContain('cannot be used');
  });

  it('outlives an addon that ends its process', () => {
    writeFileSync(
      join(folder, 'crash.c'),
      '#include <stdlib.h>\n__attribute__((constructor)) static void crash(void) { abort(); }\n',
    );
    execFileSync('cc', ['-shared', '-fPIC', '-o', join(folder, 'eam_torch.node'), join(folder, 'crash.c')]);
    for (const name of ['eam_loader.node', 'eam_torch.json']) copyFileSync(join(built, name), join(folder, name));
    // The LibTorch that the real addon was built against, so that the crash is what comes next.
    const { configuration } = JSON.parse(readFileSync(join(built, 'eam_build.json'), 'utf8')) as {
      configuration: { libtorch: string };
    };
    const { status, stdout } = doctor([], { EAM_TORCH_BUILD_DIR: folder, EAM_TORCH_LIBTORCH: configuration.libtorch });
    expect(status).toBe(1);
    expect(stdout).toContain('ended by SIGABRT');
  });
});
