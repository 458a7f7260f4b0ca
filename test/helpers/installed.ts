// The package as npm packs it, and programs that use it as others would.
import { execFileSync, spawnSync } from 'node:child_process';
import { cpSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';

export const root = fileURLToPath(new URL('../..', import.meta.url));

export interface Packed {
  tarball: string;
  files: string[];
  bytes: number;
  unpackedBytes: number;
}

/** What npm publishes, from a dist/ that is already compiled. */
export function pack(destination: string): Packed {
  mkdirSync(destination, { recursive: true });
  const text = execFileSync('npm', ['pack', '--json', '--ignore-scripts', '--pack-destination', destination], {
    cwd: root,
    encoding: 'utf8',
    stdio: ['ignore', 'pipe', 'ignore'],
  });
  const [packed] = JSON.parse(text) as [
    { filename: string; size: number; unpackedSize: number; files: { path: string }[] },
  ];
  return {
    tarball: join(destination, packed.filename),
    files: packed.files.map(({ path }) => path).sort(),
    bytes: packed.size,
    unpackedBytes: packed.unpackedSize,
  };
}

// At t = ½ and C = 1 the target is X_1 + G, whatever the noise: the loss has an answer that needs no other code.
const body = (types: boolean) => `
const [batch, size] = [2, 3];
const x1${types ? ': readonly number[]' : ''} = [1, 2, 3, 4, 5, 6];
const g${types ? ': readonly number[]' : ''} = [0.5, -1, 0, 2, -3, 1];
const tensor = (values${types ? ': readonly number[]' : ''}) => Tensor.from(Float32Array.from(values), [batch, size]);
const run = async ()${types ? ': Promise<void>' : ''} => {
  const { perSample, grad } = await matchingLoss({
    velocity: tensor([0, 0, 0, 0, 0, 0]), x1: tensor(x1), terminalGradient: tensor(g),
    t: new Float32Array(batch).fill(0.5), C: 1, noise: { seed: 7n, stream: 0n },
  });
  const data = await grad.data()${types ? ' as Float32Array' : ''};
  const slopes = Array.from(data, (value, i) => value / -(x1[i]${types ? '!' : ''} + g[i]${types ? '!' : ''}));
  console.log(JSON.stringify({
    perSample: Array.from(perSample, (value) => Number(value.toFixed(3))),
    slopes: new Set(slopes.map((slope) => slope.toFixed(4))).size,
  }));
};
void run();
`;
export const answer = { perSample: [4.083, 29.667], slopes: 1 };

export const programs = {
  'esm.mjs': `import { matchingLoss, Tensor } from 'eam-torch';\n${body(false)}`,
  'commonjs.cjs': `const { matchingLoss, Tensor } = require('eam-torch');\n${body(false)}`,
  // For a Node whose require takes no ES modules.
  'dynamic.cjs': `(async () => {\nconst { matchingLoss, Tensor } = await import('eam-torch');\n${body(false)}\n})();`,
};

const strict = {
  strict: true,
  exactOptionalPropertyTypes: true,
  noUncheckedIndexedAccess: true,
  noUnusedLocals: true,
  target: 'es2022',
};
const typescript = `import { eam, matchingLoss, ShapeError, Tensor, Trainer } from 'eam-torch';
import type { MatchingLossOptions, Reward } from 'eam-torch';
export const weighting: MatchingLossOptions['weighting'] = 'velocity';
export const parts: [typeof eam, typeof Trainer, typeof ShapeError] = [eam, Trainer, ShapeError];
export const name: Reward['name'] = 'mine';
// @ts-expect-error: t has one entry a sample
export const wrong: MatchingLossOptions['t'] = 'half';
${body(true)}`;

export const projects: Record<string, { program: string; tsconfig: object }> = {
  node16: {
    program: 'program.mts',
    tsconfig: { ...strict, module: 'node16', moduleResolution: 'node16', lib: ['es2022', 'dom'] },
  },
  bundler: {
    program: 'program.mts',
    tsconfig: { ...strict, module: 'es2022', moduleResolution: 'bundler', lib: ['es2022', 'dom'] },
  },
};

/** Writes the programs and the TypeScript projects into a consumer's folder. */
export function writePrograms(folder: string, options: { types: string[] }): void {
  for (const [name, text] of Object.entries(programs)) writeFileSync(join(folder, name), text);
  for (const [name, { program, tsconfig }] of Object.entries(projects)) {
    mkdirSync(join(folder, name), { recursive: true });
    writeFileSync(join(folder, name, program), typescript);
    writeFileSync(
      join(folder, name, 'tsconfig.json'),
      JSON.stringify({ compilerOptions: { ...tsconfig, types: options.types }, files: [program] }),
    );
  }
}

export interface Run {
  status: number | null;
  stdout: string;
  stderr: string;
}

/** Runs a program to its end, in a folder. */
export function runIn(folder: string, command: string, args: string[], env: NodeJS.ProcessEnv = {}): Run {
  const { status, stdout, stderr, error } = spawnSync(command, args, {
    cwd: folder,
    encoding: 'utf8',
    env: { ...process.env, ...env },
    timeout: 1_200_000,
    maxBuffer: 2 ** 28,
  });
  if (error) throw error;
  return { status, stdout, stderr };
}

/** Compiles a TypeScript project of `writePrograms` and runs it. */
export function runProject(
  folder: string,
  name: string,
  node: string,
  env: NodeJS.ProcessEnv,
  tsc = join(root, 'node_modules', 'typescript', 'bin', 'tsc'),
): Run {
  const project = join(folder, name);
  const compiled = runIn(project, process.execPath, [tsc, '-p', '.']);
  return compiled.status === 0
    ? runIn(project, node, [join(project, projects[name]!.program.replace('.mts', '.mjs'))], env)
    : compiled;
}

/** Whether this Node's `require` takes an ES module. */
export function requiresModules(version: string): boolean {
  const [major, minor] = version.replace(/^v/, '').split('.').map(Number) as [number, number];
  return major > 22 || (major === 22 && minor >= 12) || (major === 20 && minor >= 19);
}

/** Whether this Node runs TypeScript as it is written. */
export function runsTypeScript(version: string): boolean {
  const [major, minor] = version.replace(/^v/, '').split('.').map(Number) as [number, number];
  return major > 22 || (major === 22 && minor >= 18);
}

/** A project below a consumer's folder, with the examples copied out of the package, as they say it. */
export function copyExamples(app: string, project: string): void {
  mkdirSync(join(app, project), { recursive: true });
  writeFileSync(join(app, project, 'package.json'), JSON.stringify({ type: 'module' }));
  cpSync(join(packageOf(app), 'examples'), join(app, project, 'examples'), { recursive: true });
}

/** What examples/trainer.ts prints: five steps and their rewards. */
export const trainerOutput = /^([1-5] -?\d+\.\d{3}\n){5}$/;

export function packageOf(folder: string): string {
  return join(folder, 'node_modules', 'eam-torch');
}

export function readJson(path: string): Record<string, unknown> {
  return JSON.parse(readFileSync(path, 'utf8')) as Record<string, unknown>;
}
