// The one command for a GPU, where there is none: it refuses, and with programs that stand in for the compiled ones it
// runs all that there is, writes the CSV and judges.
import { spawnSync } from 'node:child_process';
import { chmodSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { delimiter, join } from 'node:path';
import { fileURLToPath } from 'node:url';

import { afterAll, beforeEach, describe, expect, it } from 'vitest';

const program = fileURLToPath(new URL('../../benchmarks/gpu.mjs', import.meta.url));
const root = mkdtempSync(join(tmpdir(), 'eam-gpu-'));
afterAll(() => rmSync(root, { recursive: true, force: true }));

let folder: string;
let count = 0;
beforeEach(() => {
  folder = join(root, String(++count));
  mkdirSync(join(folder, 'bin'), { recursive: true });
  mkdirSync(join(folder, 'programs'));
});

function script(place: 'bin' | 'programs', name: string, body: string): void {
  const path = join(folder, place, name);
  writeFileSync(path, `#!/bin/sh\n${body}\n`);
  chmodSync(path, 0o755);
}

const header = 'section,name,variant,dtype,elements,threads,repeats,unit,p20,p50,p80';
const row = (name: string, variant: string, unit: string, value: number) =>
  `cuda,${name},${variant},float32,134217728,1,30,${unit},${value},${value},${value}`;
const bandwidth = (share: number, status: number) => {
  const rows = [
    row('renoise', 'ours', 'GB/s', 4000 * share),
    row('renoise', 'copy', 'GB/s', 4000),
    row('renoise', 'of the copy', 'share', share),
    row('philoxNormal', 'of the copy; not judged', 'share', 0.3),
  ];
  return `cat <<'EOF'\n${[header, ...rows].join('\n')}\nEOF\nexit ${status}`;
};

/** A machine with a GPU on which everything passes. */
function goodMachine(): void {
  script('bin', 'nvidia-smi', 'case "$1" in -L) echo "GPU 0: Fast One";; *) echo "Fast One";; esac');
  for (const name of ['check_ops', 'check_cuda_sizes', 'check_cuda_graph'])
    script('programs', name, `echo "${name} ran $PYTORCH_NO_CUDA_MEMORY_CACHING"`);
  script('programs', 'bench_cuda', bandwidth(0.91, 0));
}

function run(env: Record<string, string> = {}, ...args: string[]) {
  // sh, cat and git, but no nvcc and no real nvidia-smi before ours.
  const path = [join(folder, 'bin'), '/usr/bin', '/bin'].join(delimiter);
  const clean = { ...process.env, PATH: path, CUDA_HOME: '', CUDA_PATH: '' };
  delete (clean as Record<string, string | undefined>)['CUDA_VISIBLE_DEVICES'];
  return spawnSync(
    process.execPath,
    [program, '--programs', join(folder, 'programs'), '--output', join(folder, 'results'), ...args],
    { encoding: 'utf8', env: { ...clean, ...env } },
  );
}

describe('npm run gpu', () => {
  it('refuses a machine without a GPU, and says so', () => {
    const bare = run({ PATH: join(folder, 'bin') });
    expect(bare.status).toBe(1);
    expect(bare.stderr).toMatch(
      /^gpu: there is no NVIDIA GPU here: nvidia-smi.*is not on PATH\. Nothing was checked or measured/,
    );
    script('bin', 'nvidia-smi', 'echo "No devices were found"; exit 6');
    expect(run()).toMatchObject({
      status: 1,
      stdout: '',
      stderr: expect.stringContaining('nvidia-smi finds none') as string,
    });
    goodMachine();
    expect(run({ CUDA_VISIBLE_DEVICES: '' })).toMatchObject({
      status: 1,
      stdout: '',
      stderr: expect.stringContaining("CUDA_VISIBLE_DEVICES is ''") as string,
    });
  });

  it('runs everything, writes the CSV and passes', () => {
    goodMachine();
    script('bin', 'compute-sanitizer', 'echo "$@"; for program; do :; done; exec "$program"');
    const { status, stdout, stderr } = run();
    expect({ status, stderr: status === 0 ? '' : stderr }).toEqual({ status: 0, stderr: '' });
    for (const tool of ['memcheck', 'racecheck']) {
      for (const name of ['check_ops', 'check_cuda_graph']) {
        expect(stdout).toContain(
          `--tool ${tool} --error-exitcode 9 --report-api-errors no ${join(folder, 'programs', name)}\n${name} ran 1\n`,
        );
        expect(stdout).toMatch(new RegExp(`${name} under ${tool} +ok`));
      }
    }
    expect(stdout).toMatch(/Fast One, revision \S+, LibTorch unknown/);
    expect(stdout).toMatch(/bandwidth +ok: the least of 1 kernels moves 91\.0 % of a copy's bandwidth/);
    expect(stdout).toMatch(/Medium's shape +left out: there is no addon/);
    expect(stdout.trimEnd()).toMatch(/verdict: passed; 1 left out$/);
    const [file] = readdirSync(join(folder, 'results'));
    expect(file).toMatch(/^\d{4}-\d\d-\d\d-.*-fast-one-cuda\.csv$/);
    const lines = readFileSync(join(folder, 'results', file!), 'utf8')
      .trim()
      .split('\n');
    expect(lines[0]).toBe(`date,machine,revision,libtorch,node,${header}`);
    expect(lines).toHaveLength(5);
    expect(lines[1]).toMatch(
      /Fast One,[0-9a-f]+\+?,unknown,v\d.*,cuda,renoise,ours,float32,134217728,1,30,GB\/s,3640,3640,3640$/,
    );
  });

  it('says what it left out where there is no compute-sanitizer', () => {
    goodMachine();
    const { status, stdout } = run();
    expect(status).toBe(0);
    expect(stdout).toMatch(/check_ops under memcheck +left out: compute-sanitizer is neither on PATH/);
    expect(stdout.trimEnd()).toMatch(/verdict: passed; 5 left out$/);
  });

  it.each<{ what: string; spoil: () => void; verdict: RegExp }>([
    {
      what: 'a mismatch',
      spoil: () => script('programs', 'check_ops', 'echo "1 mismatches"; exit 1'),
      verdict: /FAILED \(parity with the CPU\)/,
    },
    {
      what: 'a mismatch at a large size',
      spoil: () => script('programs', 'check_cuda_sizes', 'exit 1'),
      verdict: /FAILED \(large tensors\)/,
    },
    {
      what: 'a program that found no device',
      spoil: () => script('programs', 'check_cuda_graph', 'echo "CUDA graph: skipped, no device here"'),
      verdict: /FAILED \(CUDA graphs\)/,
    },
    {
      what: 'what a sanitizer finds',
      spoil: () => script('bin', 'compute-sanitizer', 'case "$*" in *memcheck*check_ops) exit 9;; esac'),
      verdict: /FAILED \(check_ops under memcheck\)/,
    },
    {
      what: 'a kernel below the bar',
      spoil: () => script('programs', 'bench_cuda', bandwidth(0.7, 1)),
      verdict: /FAILED \(bandwidth\)/,
    },
    {
      what: 'a benchmark that ends early',
      spoil: () => script('programs', 'bench_cuda', 'exit 1'),
      verdict: /FAILED \(bandwidth\)/,
    },
    {
      what: 'a benchmark that was not compiled',
      spoil: () => rmSync(join(folder, 'programs', 'bench_cuda')),
      verdict: /FAILED \(bandwidth\)/,
    },
  ])('fails for $what', ({ spoil, verdict }) => {
    goodMachine();
    spoil();
    const { status, stdout } = run();
    expect(status).toBe(1);
    expect(stdout).toMatch(verdict);
  });

  it.each<{ what: string; spoil: () => void; status: number; verdict: RegExp }>([
    {
      what: 'a crash after checks that passed',
      spoil: () => script('programs', 'check_ops', 'echo "all checks passed"; kill -ABRT $$'),
      status: 3,
      verdict: /parity with the CPU +CRASHED: all its checks passed; it crashed at its end \(SIGABRT\)/,
    },
    {
      what: 'the same as a shell or a sanitizer reports it',
      spoil: () => script('programs', 'check_ops', 'echo "all checks passed"; exit 134'),
      status: 3,
      verdict: /verdict: CRASHED \(parity with the CPU\); 5 left out/,
    },
    {
      what: 'a crash before the checks are done',
      spoil: () => script('programs', 'check_cuda_sizes', 'kill -SEGV $$'),
      status: 3,
      verdict: /large tensors +CRASHED: SIGSEGV, before its checks were done/,
    },
    {
      what: 'a mismatch and then a crash',
      spoil: () =>
        script('programs', 'check_ops', 'echo "renoise 0.1 0.01 MISMATCH"; echo; echo "1 mismatches"; exit 134'),
      status: 1,
      verdict: /parity with the CPU +FAILED: renoise 0\.1 0\.01 MISMATCH; it crashed after that \(SIGABRT\)/,
    },
    {
      what: 'a mismatch beside a crash',
      spoil: () => {
        script('programs', 'check_ops', 'echo "1 mismatches"; exit 1');
        script('programs', 'check_cuda_graph', 'exit 139');
      },
      status: 1,
      verdict: /verdict: FAILED \(parity with the CPU\); CRASHED \(CUDA graphs\); 5 left out/,
    },
    {
      what: 'a benchmark that crashes at its end',
      spoil: () =>
        script('programs', 'bench_cuda', `(${bandwidth(0.91, 0)}\n)\necho "every kernel reaches 85 %" >&2; exit 134`),
      status: 3,
      verdict: /bandwidth +CRASHED: SIGABRT, at its end; the least of 1 kernels moves 91\.0 %/,
    },
    {
      what: 'a benchmark below the bar that crashes at its end',
      spoil: () =>
        script('programs', 'bench_cuda', `(${bandwidth(0.7, 0)}\n)\necho "1 kernels are below 85 %" >&2; exit 134`),
      status: 1,
      verdict: /verdict: FAILED \(bandwidth\); 5 left out/,
    },
  ])('tells $what from the other', ({ spoil, status, verdict }) => {
    goodMachine();
    spoil();
    const found = run();
    expect(found.stdout).toMatch(verdict);
    expect(found.status).toBe(status);
  });

  it('refuses to leave out what it does not know', () => {
    expect(run({}, '--without', 'parity')).toMatchObject({
      status: 1,
      stderr: expect.stringContaining('--without parity: expected sanitizer, sd3 or both') as string,
    });
  });
});
