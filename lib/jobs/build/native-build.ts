// `eam build`: find or fetch a LibTorch, then configure and compile with cmake-js into build/<variant>.

import { createHash } from 'node:crypto';
import { existsSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { availableParallelism } from 'node:os';
import { join, relative, resolve } from 'node:path';
import { fileURLToPath } from 'node:url';

import { NativeLoadError } from '../../errors.js';
import {
  type LibTorch,
  type Variant,
  cacheDirectory,
  findLibTorch,
  overrideVariable,
} from '../../runtime/native/libtorch.js';
import { CompileProgress } from './compile-progress.js';
import { fetchLibTorch } from './fetch-libtorch.js';
import { withLock } from '../lock.js';
import { BuildError, runCommand } from './run-command.js';
import { type ToolName, findExecutable, inspectTools, missingToolsMessage } from './tools.js';
import { makeDirectory } from '../../runtime/make-directory.js';

export interface BuildOptions {
  variant: Variant;
  /** Compilers run at once; all processors by default. */
  jobs?: number | undefined;
  /** A LibTorch's folder; searched for by default. */
  libtorch?: string | undefined;
  /** Where the binaries go; build/<variant> in the package by default. */
  output?: string;
  /** CUDA architectures in CMake's notation, for a shorter build than that of all supported ones. */
  cudaArchitectures?: string | undefined;
  /** Asks for the C library's oldest symbols, so that the binaries load on older systems than this one. */
  portable?: boolean;
  report: (line: string) => void;
  /** Rewrites one line with the progress where stderr is a terminal, instead of reporting lines; on by default. */
  rewriteProgress?: boolean;
}

export interface BuildResult {
  directory: string;
  libtorch: string;
  /** False where everything was up to date. */
  built: boolean;
  seconds: number;
}

const packageRoot = fileURLToPath(new URL('../../..', import.meta.url));
const outputs = ['eam_torch.node', 'eam_loader.node', 'eam_torch.json'];
const stampName = 'eam_build.json';

function filesUnder(directory: string): string[] {
  return readdirSync(directory, { withFileTypes: true }).flatMap((entry) => {
    const path = join(directory, entry.name);
    return entry.isDirectory() ? filesUnder(path) : [path];
  });
}

/** Everything the compilation reads, by content: a fresh clone changes every file's time and no file's text. */
function sourceHash(): string {
  const hash = createHash('sha256');
  const files = [
    join(packageRoot, 'CMakeLists.txt'),
    ...filesUnder(join(packageRoot, 'cmake')),
    ...filesUnder(join(packageRoot, 'native')),
  ];
  for (const file of files.sort())
    hash.update(relative(packageRoot, file)).update('\0').update(readFileSync(file)).update('\0');
  return hash.digest('hex');
}

/** What a build directory was configured for; another configuration starts from an empty directory. */
interface Stamp {
  configuration: Record<string, string>;
  sources?: string;
}

function readStamp(directory: string): Stamp | undefined {
  try {
    return JSON.parse(readFileSync(join(directory, stampName), 'utf8')) as Stamp;
  } catch {
    return undefined;
  }
}

/** @param except may differ: it decides how binaries are made, and not what they are */
function sameConfiguration(a: Stamp | undefined, b: Stamp, except?: 'generator'): boolean {
  const text = ({ configuration }: Stamp) =>
    JSON.stringify(configuration, (key, value: unknown) => (key === except ? undefined : value));
  return a !== undefined && text(a) === text(b);
}

/**
 * The LibTorch to build against. One that the last build used is kept while it is there: another that turns up in the
 * meantime, such as a CUDA one in the cache, is no reason to compile everything again.
 */
function chooseLibTorch(
  variant: Variant,
  given: string | undefined,
  previous: Stamp | undefined,
): LibTorch | undefined {
  const used = previous?.configuration['libtorch'];
  if (given === undefined && used !== undefined && !process.env[overrideVariable] && !process.env['LIBTORCH']) {
    try {
      return findLibTorch(variant, used);
    } catch (error) {
      if (!(error instanceof NativeLoadError)) throw error;
    }
  }
  return findLibTorch(variant, given);
}

/**
 * What the environment says of the compiler and of its library (cmake/StandardLibrary.cmake), where it says something.
 * CMake reads CXX itself, once for a build directory.
 */
function compilation(): Record<string, string> {
  const { CXX: compiler, EAM_LIBSTDCXX: library } = process.env;
  return { ...(compiler && { compiler }), ...(library && { libstdcxx: resolve(library) }) };
}

function requireTools(names: ToolName[]): void {
  const message = missingToolsMessage(inspectTools(names));
  if (message) throw new BuildError(message);
}

/**
 * Brings build/<variant> up to date with the sources and the LibTorch found; returns at once where it already is.
 * Throws BuildError naming every missing tool, or with the end of the log of the step that failed.
 */
export async function buildNative(options: BuildOptions): Promise<BuildResult> {
  const started = performance.now();
  const { variant, report } = options;
  const directory = options.output ?? join(packageRoot, 'build', variant);
  const tools: ToolName[] = ['compiler', 'cmake', 'make', ...(variant === 'cuda' ? (['nvcc'] as const) : [])];

  return withLock(`${directory}.lock`, report, async () => {
    const previous = readStamp(directory);
    let libtorch = chooseLibTorch(variant, options.libtorch, previous);
    const fetching = libtorch === undefined;
    if (!libtorch) {
      requireTools([...tools, 'python']);
      const folder = await fetchLibTorch({
        variant,
        cache: cacheDirectory(),
        python: findExecutable(['python3'])!,
        report,
      });
      libtorch = findLibTorch(variant, folder)!;
    }
    const stamp: Stamp = {
      configuration: {
        libtorch: libtorch.directory,
        version: libtorch.version,
        generator: findExecutable(['ninja']) ? 'Ninja' : 'Unix Makefiles',
        architectures: options.cudaArchitectures ?? '',
        ...(options.portable && { portable: 'ON' }),
        ...compilation(),
      },
      sources: sourceHash(),
    };
    const result = (built: boolean): BuildResult => ({
      directory,
      libtorch: stamp.configuration['libtorch']!,
      built,
      seconds: (performance.now() - started) / 1000,
    });
    const complete = outputs.every((name) => existsSync(join(directory, name)));
    if (complete && sameConfiguration(previous, stamp, 'generator') && previous?.sources === stamp.sources)
      return result(false);

    if (!fetching) requireTools(tools);
    if (!sameConfiguration(previous, stamp)) rmSync(directory, { recursive: true, force: true });
    makeDirectory(directory);
    const logFile = join(directory, 'build.log');
    rmSync(logFile, { force: true });
    writeFileSync(join(directory, stampName), JSON.stringify({ configuration: stamp.configuration }));

    const jobs = options.jobs ?? availableParallelism();
    report(
      `Native core (${variant}): compiling with ${jobs} jobs against LibTorch ${libtorch.version} in ` +
        `${libtorch.directory}`,
    );
    const sink = (options.rewriteProgress ?? true) && process.stderr.isTTY ? { terminal: process.stderr } : { report };
    await compile(directory, stamp, variant, jobs, logFile, new CompileProgress(`Native core (${variant})`, sink));
    writeFileSync(join(directory, stampName), JSON.stringify(stamp));
    const finished = result(true);
    report(`Native core (${variant}): built in ${finished.seconds.toFixed(1)} s: ${directory}`);
    return finished;
  });
}

async function compile(
  directory: string,
  stamp: Stamp,
  variant: Variant,
  jobs: number,
  logFile: string,
  progress: CompileProgress,
): Promise<void> {
  const cmakeJs = createRequire(import.meta.url).resolve('cmake-js/bin/cmake-js');
  const { libtorch, generator, architectures, portable = 'OFF', libstdcxx = '' } = stamp.configuration;
  const common = ['--directory', packageRoot, '--out', directory];
  const configure = [
    'configure',
    ...common,
    '--generator',
    generator!,
    `--CDEAM_VARIANT=${variant}`,
    `--CDEAM_LIBTORCH=${libtorch}`,
    `--CDEAM_PORTABLE=${portable}`,
    `--CDEAM_LIBSTDCXX=${libstdcxx}`,
  ];
  if (architectures) configure.push(`--CDCMAKE_CUDA_ARCHITECTURES=${architectures}`);
  const run = (args: string[], onOutput?: (text: string) => void) =>
    runCommand(process.execPath, [cmakeJs, ...args], { logFile, cwd: packageRoot, ...(onOutput && { onOutput }) });
  await run(configure);
  // Not `compile`: where that fails it empties the directory and starts over.
  try {
    await run(['build', ...common, '--parallel', String(jobs)], (text) => progress.read(text));
  } finally {
    progress.end();
  }
}
