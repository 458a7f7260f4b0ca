// The one libstdc++ of a process, with compilers that would link a static one: cmake/StandardLibrary.cmake on a small
// program instead of on the addon.
import { execFileSync, spawnSync } from 'node:child_process';
import { chmodSync, copyFileSync, existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';

import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest';

const cmakeFolder = fileURLToPath(new URL('../../cmake', import.meta.url));
const program = `#include <condition_variable>
#include <iostream>
#include <mutex>
int main() {
  std::mutex mutex;
  std::condition_variable condition;
  std::unique_lock<std::mutex> lock(mutex);
  condition.notify_one();
  std::cout << "ran" << std::endl;
}
`;

describe.runIf(process.platform === 'linux')('the linking of libstdc++', () => {
  let folder: string;
  beforeAll(() => {
    folder = mkdtempSync(join(tmpdir(), 'eam-libstdcxx-'));
    writeFileSync(join(folder, 'program.cpp'), program);
    writeFileSync(
      join(folder, 'CMakeLists.txt'),
      `cmake_minimum_required(VERSION 3.18)
project(program CXX)
set(CMAKE_CURRENT_SOURCE_DIR "${join(cmakeFolder, '..')}")
include("${cmakeFolder}/StandardLibrary.cmake")
add_executable(program "${folder}/program.cpp")
if(LINKED)
  eam_link_standard_library(program)
endif()
`,
    );
    // As the specs of some compilers have it: after everything that a build adds.
    writeFileSync(join(folder, 'g++-static'), '#!/bin/sh\nexec g++ "$@" -static-libstdc++\n');
    chmodSync(join(folder, 'g++-static'), 0o755);
  });
  afterAll(() => rmSync(folder, { recursive: true, force: true }));

  /** What the environment says of it in {@link build}. */
  let variable = '';
  afterEach(() => {
    variable = '';
  });

  function build(name: string, ...options: string[]) {
    const directory = join(folder, name);
    const flags = ['-S', folder, '-B', directory, `-DCMAKE_CXX_COMPILER=${join(folder, 'g++-static')}`, ...options];
    const configured = spawnSync('cmake', flags, {
      encoding: 'utf8',
      env: { ...process.env, EAM_LIBSTDCXX: variable },
    });
    if (configured.status !== 0) return { directory, status: configured.status, output: configured.stderr };
    const built = spawnSync('cmake', ['--build', directory], { encoding: 'utf8' });
    return { directory, status: built.status, output: built.stdout + built.stderr };
  }

  it('takes the shared one from a compiler that links a static one', () => {
    const { directory, status, output } = build('shared', '-DLINKED=ON');
    expect(status, output).toBe(0);
    const binary = join(directory, 'program');
    const dynamic = execFileSync('readelf', ['--wide', '--dynamic', binary], { encoding: 'utf8' });
    expect(dynamic).toMatch(/NEEDED.*\[libstdc\+\+\.so\.6\]/);
    const symbols = execFileSync('nm', ['--defined-only', binary], { encoding: 'utf8' });
    expect(symbols).not.toMatch(/_ZNSt6localeC|__cxa_throw|_ZNSt18condition_variable10notify_oneEv/);
    expect(execFileSync(binary, { encoding: 'utf8' })).toBe('ran\n');
  });

  it('removes a file that holds a static one, and says what to set', () => {
    const { directory, status, output } = build('static', '-DLINKED=OFF');
    expect(status, output).toBe(0);
    const binary = join(directory, 'program');
    writeFileSync(join(folder, 'empty.map'), '');
    const check = (map: string) =>
      spawnSync(
        'cmake',
        [
          `-DFILE=${binary}`,
          `-DMAP=${map}`,
          '-DREADELF=readelf',
          '-DCOMPILER=g++-static',
          '-P',
          join(cmakeFolder, 'CheckStandardLibrary.cmake'),
        ],
        { encoding: 'utf8' },
      );
    writeFileSync(join(folder, 'static.map'), '/usr/lib/gcc/12/libstdc++.a(locale.o)\n');
    const wanted = /cannot be used:[\s\S]*Set CXX to a compiler that links the shared one[\s\S]*EAM_LIBSTDCXX/;
    expect(check(join(folder, 'empty.map')).stderr).toMatch(/does not need libstdc\+\+\.so\.6/);
    expect(existsSync(binary)).toBe(false);
    const archived = check(join(folder, 'static.map'));
    expect(archived.stderr).toMatch(wanted);
    expect(archived.stderr.replace(/\s+/g, ' ')).toMatch(
      /parts of a static libstdc\+\+ \(.*libstdc\+\+\.a\(locale\.o\)\)/,
    );
  });

  it("takes the environment's, which CMake's own option comes before", () => {
    const shared = execFileSync('g++', ['-print-file-name=libstdc++.so.6'], { encoding: 'utf8' }).trim();
    variable = join(folder, 'libstdc++.so.6.named');
    copyFileSync(shared, variable);
    const { directory, status, output } = build('named', '-DLINKED=ON');
    expect(status, output).toBe(0);
    expect(readFileSync(join(directory, 'program.map'), 'utf8')).toContain(`LOAD ${variable}`);
    const refused = build('contradicted', '-DLINKED=ON', `-DEAM_LIBSTDCXX=${join(folder, 'none')}`);
    expect(refused.output.replace(/\s+/g, ' ')).toContain(`EAM_LIBSTDCXX: '${join(folder, 'none')}'`);
  });

  it('fails with what to do where there is no shared one', () => {
    const { status, output } = build('absent', '-DLINKED=ON', `-DEAM_LIBSTDCXX=${join(folder, 'libstdc++.so.6')}`);
    expect(status).not.toBe(0);
    expect(output.replace(/\s+/g, ' ')).toMatch(
      /No shared libstdc\+\+ was found.*Set EAM_LIBSTDCXX to a libstdc\+\+\.so\.6, or CXX/,
    );
  });
});
