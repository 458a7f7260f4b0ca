// What the native build needs on the machine, and the command that installs what is missing.

import { spawnSync } from 'node:child_process';
import { accessSync, constants, existsSync } from 'node:fs';
import { delimiter, join } from 'node:path';

import { howToDownload } from '../../runtime/native/libtorch.js';

export type ToolName = 'compiler' | 'cmake' | 'make' | 'python' | 'nvcc';
type PackageManager = 'apt-get' | 'dnf' | 'brew';

/** One tool: where it is and its version, or what is wrong with it. */
export interface Tool {
  readonly name: ToolName;
  /** What the tool is for, as a person says it. */
  readonly label: string;
  readonly path?: string;
  readonly version?: string;
  /** Set where the tool is absent or too old. */
  readonly problem?: string;
}

const minimumCmake = [3, 18] as const;

const packages: Record<ToolName, Record<PackageManager, string[]>> = {
  compiler: { 'apt-get': ['g++'], dnf: ['gcc-c++'], brew: ['llvm'] },
  cmake: { 'apt-get': ['cmake'], dnf: ['cmake'], brew: ['cmake'] },
  make: { 'apt-get': ['ninja-build'], dnf: ['ninja-build'], brew: ['ninja'] },
  python: { 'apt-get': ['python3', 'python3-pip'], dnf: ['python3', 'python3-pip'], brew: ['python'] },
  nvcc: { 'apt-get': ['nvidia-cuda-toolkit'], dnf: ['cuda-toolkit'], brew: [] },
};

/** The first executable file of these names on PATH. */
export function findExecutable(names: readonly string[], path = process.env['PATH'] ?? ''): string | undefined {
  for (const name of names) {
    for (const directory of path.split(delimiter)) {
      const candidate = join(directory, name);
      try {
        accessSync(candidate, constants.X_OK);
        return candidate;
      } catch {
        // Not there, or not executable: the next one.
      }
    }
  }
  return undefined;
}

function firstLine(path: string, args: string[], input?: string): { ok: boolean; text: string } {
  const result = spawnSync(path, args, { encoding: 'utf8', input, timeout: 60_000 });
  const text = `${result.stdout ?? ''}\n${result.stderr ?? ''}`.trim().split('\n')[0] ?? '';
  // A program that ends without reading its input leaves an error too (EPIPE); its own words say more.
  return { ok: result.status === 0, text: text || (result.error?.message ?? '') };
}

const versionOf = (text: string): string | undefined => /\d+\.\d+(\.\d+)*/.exec(text)?.[0];

function compiler(path: string): Tool {
  const tool = { name: 'compiler', label: 'a C++20 compiler (g++ 10 or newer, or clang 14 or newer)' } as const;
  const chosen = process.env['CXX'];
  const found = findExecutable(chosen ? [chosen] : ['g++', 'clang++'], path) ?? (existsSync(chosen ?? '') && chosen);
  if (!found)
    return {
      ...tool,
      problem: chosen ? `CXX is '${chosen}', which is not there` : 'neither g++ nor clang++ is on PATH',
    };
  const version = firstLine(found, ['--version']).text;
  const probe =
    '#include <compare>\n#include <concepts>\n#include <numbers>\n#include <span>\n' +
    'static_assert(__cplusplus > 201703L);\n';
  const compiled = firstLine(found, ['-std=c++20', '-fsyntax-only', '-x', 'c++', '-'], probe);
  return {
    ...tool,
    path: found,
    version,
    ...(compiled.ok ? {} : { problem: `${found} cannot compile C++20: ${compiled.text}` }),
  };
}

function cmake(path: string): Tool {
  const tool = { name: 'cmake', label: `cmake ${minimumCmake.join('.')} or newer` } as const;
  const found = findExecutable(['cmake'], path);
  if (!found) return { ...tool, problem: 'cmake is not on PATH' };
  const version = versionOf(firstLine(found, ['--version']).text) ?? 'unknown';
  const [major = 0, minor = 0] = version.split('.').map(Number);
  const old = major < minimumCmake[0] || (major === minimumCmake[0] && minor < minimumCmake[1]);
  return { ...tool, path: found, version, ...(old ? { problem: `${found} is version ${version}` } : {}) };
}

function make(path: string): Tool {
  const tool = { name: 'make', label: 'ninja or make' } as const;
  const found = findExecutable(['ninja', 'make'], path);
  if (!found) return { ...tool, problem: 'neither ninja nor make is on PATH' };
  return { ...tool, path: found, version: firstLine(found, ['--version']).text };
}

function python(path: string): Tool {
  const tool = { name: 'python', label: 'python3 with pip, to fetch LibTorch' } as const;
  const found = findExecutable(['python3'], path);
  if (!found) return { ...tool, problem: 'python3 is not on PATH' };
  const version = versionOf(firstLine(found, ['--version']).text) ?? 'unknown';
  const pip = firstLine(found, ['-m', 'pip', '--version']);
  return { ...tool, path: found, version, ...(pip.ok ? {} : { problem: `${found} has no pip (${pip.text})` }) };
}

function nvcc(path: string): Tool {
  const tool = { name: 'nvcc', label: 'nvcc, the CUDA compiler' } as const;
  const found = findExecutable(['nvcc'], path);
  if (!found) return { ...tool, problem: 'nvcc is not on PATH' };
  const text = spawnSync(found, ['--version'], { encoding: 'utf8' }).stdout ?? '';
  return { ...tool, path: found, version: /release (\S+),/.exec(text)?.[1] ?? 'unknown' };
}

const probes: Record<ToolName, (path: string) => Tool> = { compiler, cmake, make, python, nvcc };

/** Looks each tool up on PATH and tries it. */
export function inspectTools(names: readonly ToolName[], path = process.env['PATH'] ?? ''): Tool[] {
  return names.map((name) => probes[name](path));
}

/** The package managers that are there, or every one that is known. */
function managersIn(path: string): readonly PackageManager[] {
  const managers = ['apt-get', 'dnf', 'brew'] as const;
  const here = managers.filter((manager) => findExecutable([manager], path));
  return here.length > 0 ? here : managers;
}

/** The commands that install these tools, one for each package manager that may be used. */
export function installCommands(names: ToolName[], path = process.env['PATH'] ?? ''): string[] {
  return managersIn(path).map((manager) => installCommand(names, manager));
}

function installCommand(names: ToolName[], manager: PackageManager): string {
  const wanted = names.flatMap((name) => packages[name][manager]);
  if (manager === 'brew')
    return wanted.length > 0 ? `brew install ${wanted.join(' ')}` : 'see https://developer.nvidia.com/cuda-downloads';
  const sudo = process.getuid?.() === 0 ? '' : 'sudo ';
  return `${sudo}${manager} install -y ${wanted.join(' ')}`;
}

/**
 * One message for every tool that is missing or unfit, ending in the command that installs them; undefined if none is.
 */
export function missingToolsMessage(tools: readonly Tool[], path = process.env['PATH'] ?? ''): string | undefined {
  const missing = tools.filter((tool) => tool.problem !== undefined);
  if (missing.length === 0) return undefined;
  const lines = ['The native build needs tools that this machine lacks:'];
  for (const tool of missing) {
    lines.push(`  - ${tool.label}: ${tool.problem}`);
    lines.push(...installCommands([tool.name], path).map((command) => `      ${command}`));
  }
  if (missing.length > 1) {
    lines.push('All at once:');
    lines.push(
      ...installCommands(
        missing.map((tool) => tool.name),
        path,
      ).map((command) => `      ${command}`),
    );
  }
  if (missing.some((tool) => tool.name === 'python')) {
    lines.push(`python3 is not needed where a LibTorch is already there, or comes by hand:\n  ${howToDownload()}`);
  }
  return lines.join('\n');
}
